"""``python -m nofx_pipelines.cli``."""

from nofx_pipelines.cli import main

main()
