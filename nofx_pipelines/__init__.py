"""NOFX Pipelines: from raw bars to a registered model, as one graph of data assets."""

__version__ = "0.2.0"
