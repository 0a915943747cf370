"""``<universe>/anomaly_scores``: -log10 p of every bar against references from earlier sessions."""

from assets.stage import StageView, sessions_counted

VIEW = StageView(
    kinds=frozenset({"scikitlearn", "numba", "deltalake"}),
    description=lambda universe: (
        f"{', '.join(universe.anomaly.detectors)} on conditioned bars, and their ensemble"
    ),
    show=sessions_counted,
)
