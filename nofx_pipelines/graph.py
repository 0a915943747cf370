"""The graph of a universe: the stages that the packages declare, each after what it reads."""

from __future__ import annotations

from collections.abc import Mapping

from nofx_pipelines.anomaly import stages as anomaly
from nofx_pipelines.features import stages as features
from nofx_pipelines.hpo import stages as hpo
from nofx_pipelines.labels import stages as labels
from nofx_pipelines.leakcheck import stages as leakcheck
from nofx_pipelines.market import stages as market
from nofx_pipelines.marl import stages as marl
from nofx_pipelines.nas import stages as nas
from nofx_pipelines.promotion import stages as promotion
from nofx_pipelines.stages import Stage

UNIVERSE_STAGES: tuple[Stage, ...] = (
    *market.STAGES,
    *features.STAGES,
    *anomaly.STAGES,
    *marl.STAGES,
    *labels.STAGES,
    *leakcheck.STAGES,
    *hpo.STAGES,
    *nas.STAGES,
    *promotion.STAGES,
)
STAGES: Mapping[str, Stage] = {stage.name: stage for stage in UNIVERSE_STAGES}
