"""The command line. `main` imports the commands only when it is called."""

from __future__ import annotations


def main() -> None:
    """Run ``nofx``; errors of ours become one line and exit status 2."""
    from nofx_pipelines.cli.app import run

    run()
