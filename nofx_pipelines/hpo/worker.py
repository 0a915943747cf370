"""A worker process of a study, started by :mod:`nofx_pipelines.search.workers`."""

from __future__ import annotations

import sys
from pathlib import Path

from nofx_pipelines.hpo.objective import Objective
from nofx_pipelines.search.worker import serve

if __name__ == "__main__":
    serve(Objective.load(Path(sys.argv[1])))
