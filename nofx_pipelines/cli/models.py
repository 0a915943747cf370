"""``nofx models`` and ``nofx reproduce``."""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.terminal import home_option, say, write_frame


def show_models(home: Path) -> None:
    """One line a registered version."""
    from nofx_pipelines.registry.tracking import Tracker

    frame = Tracker(home).models()
    if frame.is_empty():
        say(f"no model is registered under {home}. Next: nofx run {home_option(home)}")
    else:
        write_frame(frame, "table")


def reproduce_model(home: Path, model: str) -> int:
    """Retrain and compare; 0 when the weights are the same bytes."""
    from nofx_pipelines.lake.store import Lake
    from nofx_pipelines.promotion.reproduce import reproduce
    from nofx_pipelines.registry.tracking import Tracker

    config = usable_config(home)
    found = reproduce(Tracker(home), Lake(config.lake), model)
    say(str(found))
    return 0 if found.identical else 1
