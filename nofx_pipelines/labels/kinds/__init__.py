"""What is learned: one file a kind of label, each assigns ``LABEL``.

A kind makes a value (and, if it likes, a side that was decided on the way) of the bars around each row. How
far these reach stands in ``nofx.toml``: ``sigma_bars`` back and ``horizon`` ahead. Sessions, purge, weights
and the moment at which a label becomes known follow from that alone, so no kind can change them.

>>> use_label("triple_barrier").name
'triple_barrier'
"""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.labels.kinds.checked import CheckedLabel
from nofx_pipelines.labels.kinds.kind import LabelKind, Labelled
from nofx_pipelines.labels.kinds.label_bars import LabelBars

__all__ = ["CheckedLabel", "LabelBars", "LabelKind", "Labelled", "use_label"]


def use_label(name: str, folder: Path | None = None) -> CheckedLabel:
    """The kind of label of that name; ``folder`` holds the home's plug-ins.

    Raises:
        ConfigError: for a name that there is none of.
        PluginError: for a plug-in that does not import or is no kind of label.
    """
    return CheckedLabel.load(plugins.find("labels", name, folder))
