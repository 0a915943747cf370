"""What the streams of a home stand at: from their files, without loading one."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.errors import NofxError
from nofx_pipelines.features.streaming import state_file
from nofx_pipelines.features.streaming.dead_letters import FILE, stored_letters


def stream_lines(home: Path) -> list[tuple[str, str, str]]:
    """Of every stream its name, the version of its features and how it stands: the store, the batch that it
    went on from, entries that were not taken.

    >>> stream_lines(Path("/nowhere"))
    []
    """
    folder = home / "streams"
    letters = stored_letters(folder / FILE)
    counts = dict(letters.group_by("stream").len().iter_rows())
    lines = []
    for path in sorted(folder.glob("*.stream")):
        name = path.name.removesuffix(".stream")
        refused = f"{counts.pop(name, 0)} dead letters"
        try:
            header = state_file.read(path)[0]
        except NofxError as error:
            lines.append((name, "damaged", error.problem))
            continue
        note = header["note"]
        since = f"since {note['lake']['session']}" if "lake" in note else "without a batch"
        lines.append((name, header["version"], f"{since}, {refused}, {note.get('store', '')}"))
    lines += [(name, "", f"{count} dead letters") for name, count in sorted(counts.items())]
    return lines
