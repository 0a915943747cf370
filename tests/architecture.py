"""Packages and what they import, measured from the code: the table and the picture of docs/architecture.md.

python -m tests.architecture          # prints the table
python -m tests.architecture --write  # writes it, and docs/images/packages.svg
"""

from __future__ import annotations

import configparser
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "images" / "packages.svg"
BEGIN, END = "<!-- measured: python -m tests.architecture --write -->", "<!-- end of what is measured -->"
_WIDTH, _ROW, _TOP, _BOX, _GAP = 1000, 58, 16, 106, 96

_COLOURS = 'fill="#eef3fb" stroke="#2f5d9b"'

Edges = Mapping[str, frozenset[str]]


def floors() -> list[list[str]]:
    """The floors of `.importlinter`, the highest first; names without ``nofx_pipelines.``."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    lines = parser["importlinter:contract:floors"]["layers"].strip().splitlines()
    return [[name.strip().removeprefix("nofx_pipelines.") for name in line.split("|")] for line in lines]


def imports() -> Edges:
    """Of each package or module on a floor, those that it imports, inside functions too."""
    graph = grimp.build_graph("nofx_pipelines", "assets", "resources", cache_dir=None)
    names = [name for floor in floors() for name in floor]
    edges: dict[str, set[str]] = {name: set() for name in names}
    for module in graph.modules:
        own = _room(module, names)
        for target in graph.find_modules_directly_imported_by(module) if own else ():
            other = _room(target, names)
            if other is not None and other != own:
                edges[str(own)].add(other)
    return {name: frozenset(targets) for name, targets in edges.items()}


def upwards(edges: Edges) -> list[tuple[str, str]]:
    """Imports that do not lead to a lower floor."""
    level = {name: place for place, floor in enumerate(floors()) for name in floor}
    return [(name, target) for name in edges for target in edges[name] if level[target] <= level[name]]


def nearest(edges: Edges) -> Edges:
    """What is left when an import that also leads through another package is not drawn."""

    def reach(name: str) -> frozenset[str]:
        return edges[name] | {below for target in edges[name] for below in reach(target)}

    return {
        name: frozenset(t for t in targets if not any(t in reach(other) for other in targets - {t}))
        for name, targets in edges.items()
    }


def table(edges: Edges) -> str:
    """One row a package, by floor."""
    lines = ["| floor | package | imports from |", "|---|---|---|"]
    order = {name: place for place, name in enumerate(name for floor in floors() for name in floor)}
    for number, floor in zip(range(len(floors()), 0, -1), floors(), strict=True):
        for name in floor:
            targets = ", ".join(f"`{t}`" for t in sorted(edges[name], key=order.__getitem__))
            lines.append(f"| {number} | `{name}` | {targets or 'none of ours'} |")
    return "\n".join(lines)


def picture(edges: Edges) -> str:
    """The floors as an SVG: every line leads down."""
    places = _places(floors())
    height = _TOP + _ROW * len(floors())
    lines = []
    for name, targets in sorted(nearest(edges).items()):
        x, y = places[name]
        for target in sorted(targets):
            to_x, to_y = places[target]
            middle = (y + 30 + to_y) / 2
            path = f"M{x} {y + 30} C{x} {middle} {to_x} {middle} {to_x} {to_y}"
            lines.append(f'<path d="{path}" fill="none" stroke="#8a94a6" stroke-width="1.1"/>')
    boxes = [
        f'<rect x="{x - _BOX / 2}" y="{y}" width="{_BOX}" height="30" rx="5" {_COLOURS}/>'
        f'<text x="{x}" y="{y + 19}" text-anchor="middle">{escape(name)}</text>'
        for name, (x, y) in places.items()
    ]
    style = "font: 12px system-ui, sans-serif; background: #fff"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" style="{style}">'
    return "\n".join([head, "<title>Packages and their imports</title>", *lines, *boxes, "</svg>"]) + "\n"


def block(edges: Edges) -> str:
    """What stands between the marks of docs/architecture.md."""
    return f"{BEGIN}\n\n{table(edges)}\n\n{END}"


def _room(module: str, names: Sequence[str]) -> str | None:
    short = module.removeprefix("nofx_pipelines.")
    return next((name for name in names if short == name or short.startswith(f"{name}.")), None)


def _places(rows: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """The middle of each box's upper edge; neighbours of a floor stand side by side."""
    places = {}
    for number, row in enumerate(rows):
        # neighbouring rows lean to different sides, so that lines pass between boxes
        lean = (0.0, 0.5, -0.5, 0.25, -0.25)[number % 5] * (_BOX + _GAP)
        left = _WIDTH / 2 - (len(row) - 1) * (_BOX + _GAP) / 2 + lean
        for place, name in enumerate(row):
            places[name] = (left + place * (_BOX + _GAP), float(_TOP + number * _ROW))
    return places


def main(arguments: Sequence[str]) -> int:
    """Print the table, or write it and the picture; 1 when an import leads upwards."""
    edges = imports()
    if "--write" in arguments:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(before + block(edges) + rest.partition(END)[2], encoding="utf-8")
        PICTURE.write_text(picture(edges), encoding="utf-8")
    else:
        print(table(edges))
    return 1 if upwards(edges) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
