"""The project's own `kedro run`: Kedro's, with skipping, `--explain` and clear errors."""

import copy
import os
import sys
from pathlib import Path
from traceback import walk_tb
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf import OmegaConf

from headstart.errors import HeadstartError


@click.group(name="headstart")
def cli() -> None:
    """Commands of this project."""


def _parameters(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Kedro's `--params`, but lists are values as well: `ranks=[1,2],targets=newsgroups`."""
    if not isinstance(value, str):
        return value
    items, depth = [""], 0
    for character in value:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    items = [item.strip() for item in items if item.strip()]
    for item in items:
        key, equals, _ = item.partition("=")
        if not (key.strip() and equals):
            context.fail(f"--params: `{item}` is not key=value.")
    return OmegaConf.to_container(OmegaConf.from_dotlist(items))


def _params_option(option: click.Parameter) -> click.Parameter:
    if option.name == "params":
        option = copy.copy(option)  # Kedro's own stays as it is
        option.callback = _parameters
    return option


def _run(force: bool, explain: bool, wait: bool, **options: Any) -> Any:
    own = {"force": force, "explain": explain, "wait": wait}
    if options["runner"] is None:
        options["runner"] = "headstart.runner.IncrementalRunner"
        options["runner_params"] = {**options["runner_params"], **own}
    for name, given in own.items():
        if given and options["runner"] != "headstart.runner.IncrementalRunner":
            raise click.UsageError(f"--{name} goes with the project's own runner alone.")
    try:
        result = kedro_run.callback(**options)  # type: ignore[misc]
    except KeyboardInterrupt:
        click.echo("Interrupted. The same command goes on where this run stopped.", err=True)
        sys.exit(130)
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        click.secho(f"Error: {message}", fg="red", err=True)
        sys.exit(1)
    tables = ("table", "text_table", "row_table")
    predicted = [f"prediction.{name}" for name in tables]
    for name in ("report", *predicted, "adaptation.table", "adaptation.numbers"):
        if name in result and not explain:
            path = Path(str(result[name]._filepath))
            click.echo(f"{name.partition('.')[0].capitalize()}: {os.path.relpath(path)}")
    return result


run = click.Command(
    "run",
    params=[
        *map(_params_option, kedro_run.params),
        click.Option(
            ["--force"], is_flag=True, help="Run every node again, whether it changed or not."
        ),
        click.Option(
            ["--explain"],
            is_flag=True,
            help="Run nothing; say which nodes would run or be skipped, and why.",
        ),
        click.Option(
            ["--wait"],
            is_flag=True,
            help="While another run works on the same data, wait until it has ended.",
        ),
    ],
    callback=_run,
    help="""Run the experiment: which way of transferring pays, and at what cost.

    Without options it runs every stage on every target of conf/base/parameters.yml and writes
    data/08_reporting/report.html. What is unchanged since the last run is not done again;
    --explain says what would be done, and why.

    \b
    kedro run --params targets=my_parts          data/01_raw/my_parts/CLASS/*.jpg as the target
    kedro run --params "targets=[faces,newsgroups],draws.seeds=3"
    kedro run --pipelines prediction --params prediction.images=FOLDER
    kedro run --explain                          what would be done again, and why
    kedro run --env test                         the same experiment made tiny
    """,
)
cli.add_command(run)


@cli.command()
@click.argument("rendezvous")
@click.option("--node", type=click.IntRange(1), required=True, help="Number of this machine.")
@click.option("--wait", default=900, show_default=True, help="Seconds to wait for the run.")
def join(rendezvous: str, node: int, wait: int) -> None:
    """Help another machine's `kedro run` with its trainings, until it ends.

    RENDEZVOUS is its compute.rendezvous, HOST:PORT.
    """
    from headstart.learning.machines import calls
    from headstart.learning.processes import follow

    try:
        for meeting in calls(rendezvous, node, wait):
            click.echo(meeting.description)
            follow(meeting)
    except HeadstartError as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(1)
    click.echo("The run has ended.")


def _message(error: BaseException | None) -> str | None:
    """The one clear message of an error that the user can mend; None for any other error."""
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__
    for link in reversed(chain):  # the innermost says it best
        if isinstance(link, HeadstartError | ParameterValidationError | click.ClickException):
            return str(link)
        if isinstance(link, OSError) and link.errno is not None and link.strerror:
            where = f": {link.filename}" if link.filename else ""
            advice = ""
            if link.errno == 28:  # no space left on device
                advice = " Free some space and run again: the run goes on where it stopped."
            return f"{link.strerror}{where}.{advice}"
    for link in reversed(chain):
        if isinstance(link, DatasetError) or _refused_by_kedro(link):
            return str(link).strip()
    return None


def _refused_by_kedro(error: BaseException) -> bool:
    """Whether Kedro itself refuses what was asked for: an unknown pipeline, node or dataset."""
    if not isinstance(error, ValueError):
        return False
    innermost = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    return bool(innermost) and innermost[-1].startswith("kedro.")
