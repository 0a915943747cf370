"""``<universe>/signals``: the champion, loaded by alias, on the latest sessions."""

from assets.stage import StageView, sessions_counted

VIEW = StageView(
    kinds=frozenset({"onnx", "deltalake"}),
    description=lambda universe: f"Scores and ranks of models:/{universe.model_name}@champion",
    show=sessions_counted,
)
