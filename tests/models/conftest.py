"""A real MLflow under a home of its own, created once a test session."""

from __future__ import annotations

import shutil

import pytest

from nofx_pipelines.models.tracking import Tracker


@pytest.fixture(scope="session")
def tracker(mlflow_folder, tmp_path_factory):
    """A tracker; tests use model and experiment names of their own."""
    found = Tracker(tmp_path_factory.mktemp("a home"))
    shutil.copytree(mlflow_folder, found.folder)
    return found
