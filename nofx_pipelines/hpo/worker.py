"""A worker process: reads trials as JSON lines, answers with outcomes as JSON lines.

Started as ``python -m nofx_pipelines.hpo.worker FOLDER`` by :mod:`nofx_pipelines.hpo.workers`, so neither
the caller's main module is imported again nor anything pickled.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from nofx_pipelines.hpo.objective import Objective, Trial
from nofx_pipelines.hpo.workers import Evaluated


def serve(objective: Evaluated) -> None:
    """Answer trials from standard input until it ends."""
    # libraries may print: only we write to the pipe
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        trial = Trial(asked["number"], asked["params"], tuple(asked["thresholds"]))
        answers.write(json.dumps(objective.evaluate(trial).as_dict()) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(Objective.load(Path(sys.argv[1])))
