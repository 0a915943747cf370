"""The loop of a worker process: reads trials as JSON lines, answers with outcomes as JSON lines.

A search's own module loads its objective and serves it; it is started as ``python -m MODULE FOLDER`` by
:mod:`nofx_pipelines.search.workers`, so neither the caller's main module is imported again nor anything
pickled.
"""

from __future__ import annotations

import json
import os
import sys

from nofx_pipelines.processes import end_with_parent
from nofx_pipelines.search.trials import Trial
from nofx_pipelines.search.workers import Evaluated


def serve(objective: Evaluated) -> None:
    """Answer trials from standard input until it ends."""
    end_with_parent()
    # libraries may print: only we write to the pipe
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        trial = Trial(request["number"], request["params"], tuple(request["thresholds"]))
        answers.write(json.dumps(objective.evaluate(trial).as_dict()) + "\n")
        answers.flush()
