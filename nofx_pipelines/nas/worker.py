"""A worker process of an architecture search, started by :mod:`nofx_pipelines.search.workers`."""

from __future__ import annotations

import sys
from pathlib import Path

from nofx_pipelines.nas.objective import NetworkObjective
from nofx_pipelines.search.worker import serve

if __name__ == "__main__":
    serve(NetworkObjective.load(Path(sys.argv[1])))
