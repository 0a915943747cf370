"""``<universe>/labels``: what models learn; what is not known yet is null."""

from assets.stage import StageView, sessions_counted

VIEW = StageView(
    kinds=frozenset({"polars", "deltalake"}),
    description=lambda universe: (
        f"{universe.labels.kind} {universe.labels.horizon} bars ahead, "
        f"barriers over {universe.labels.sigma_bars} bars' sigma"
    ),
    show=sessions_counted,
)
