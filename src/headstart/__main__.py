"""`python -m headstart`: the same as `kedro run`, for an installed package."""

import sys
from pathlib import Path

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: str) -> None:
    """Run the project's `run` command with the command-line arguments."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    run = find_run_command(package_name)
    run(list(args) or sys.argv[1:], prog_name="headstart")


if __name__ == "__main__":
    main()
