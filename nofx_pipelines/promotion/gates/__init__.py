"""What a candidate must pass to take ``@champion``: one file a gate, each assigns ``GATE``.

A gate compares one number with one threshold and says why in a sentence; an unknown number never passes.

>>> [gate.name for gate in use_gates(GateConfig())][:3]
['rank_ic_interval', 'paired_difference', 'net_sharpe']
"""

from __future__ import annotations

from pathlib import Path

from nofx_pipelines import plugins
from nofx_pipelines.config import GateConfig
from nofx_pipelines.promotion.gates.checked import CheckedGate
from nofx_pipelines.promotion.gates.gate import Evidence, Finding, Gate
from nofx_pipelines.promotion.gates.interval import interval_above

__all__ = ["CheckedGate", "Evidence", "Finding", "Gate", "interval_above", "use_gates"]


def use_gates(config: GateConfig, folder: Path | None = None) -> tuple[CheckedGate, ...]:
    """The gates of ``config.use``, in its order; ``folder`` holds the home's plug-ins.

    Raises:
        ConfigError: for a name that there is none of.
        PluginError: for a plug-in that does not import or is no gate.
    """
    return tuple(CheckedGate.load(plugins.find("gates", name, folder)) for name in config.use)
