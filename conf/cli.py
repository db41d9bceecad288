"""The command `headrace`: one subcommand a stage, the same flags for all.

Progress and logs go to stderr; the result goes to stdout, as one JSON object or as tables.
"""

import json
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler

from conf import stages
from conf.errors import ConfigError, HeadraceError
from conf.load import load_config
from conf.report import print_result
from conf.schema import Config

app = typer.Typer(
    help="From a raw behaviour log to a published recommendation list for every user.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="YAML file of the run.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to it: section.key=value.", show_default=False)
]
LogicalDate = Annotated[
    str | None,
    typer.Option("--date", help="Logical date, YYYY-MM-DD. Else the day of the newest event."),
]
UserId = Annotated[str, typer.Option("--user", help="Id in the log; `first` for any.")]
UsersFile = Annotated[Path, typer.Option("--users", help="File with one raw id a line.")]
Kind = Annotated[str, typer.Option("--kind", help="datasets, models or lists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")]


@app.command()
def etl(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Clean and encode the raw log into a dataset (Spark)."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_etl(c, _day(date)))


@app.command()
def train(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train a model on the current dataset and measure it (Petastorm, Ray Train, PyTorch)."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_train(c, _day(date)))


@app.command()
def evaluate(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure the current model on its test part, beside the baselines."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_evaluate(c, _day(date)))


@app.command()
def score(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write and publish a list for every user (Ray)."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_score(c, _day(date)))


@app.command()
def run(
    config: ConfigPath,
    overrides: Overrides = None,
    date: LogicalDate = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Do all of it: etl, train, score; what is done already is left as it is."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_all(c, _day(date)))


@app.command()
def generate(
    config: ConfigPath,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write a made-up shop's log to input.root."""
    _run(config, overrides, as_json, verbose, stages.run_generate)


@app.command()
def show(
    config: ConfigPath,
    user: UserId,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print a user's history and list, with titles."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_show(c, user))


@app.command()
def status(
    config: ConfigPath,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Print what is current in each stage and what it came from."""
    _run(config, overrides, as_json, verbose, stages.run_status)


@app.command()
def rollback(
    config: ConfigPath,
    overrides: Overrides = None,
    kind: Kind = "lists",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make the version before the current one current again."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_rollback(c, kind))


@app.command()
def erase(
    config: ConfigPath,
    users: UsersFile,
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Remove users from datasets, models, lists and quarantine, for good; write a receipt."""
    _run(config, overrides, as_json, verbose, lambda c: stages.run_erase(c, users))


def main() -> None:
    """Run the command."""
    app()


def main_for_stage(name: str) -> None:
    """Run one subcommand with this process's arguments, as `python -m <package>` does."""
    app([name, *sys.argv[1:]])


def _run(
    path: Path,
    overrides: list[str] | None,
    as_json: bool,
    verbose: bool,
    work: Callable[[Config], dict[str, Any]],
) -> None:
    _log_to_stderr(verbose)
    signal.signal(signal.SIGTERM, _stop)
    try:
        with redirect_stdout(sys.stderr):  # Ray and Spark print; stdout is the result's alone
            result = work(load_config(path, overrides or []))
    except HeadraceError as error:
        print(f"headrace: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt:
        print("headrace: interrupted; what was committed stays", file=sys.stderr)
        raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        print(json.dumps(result, default=str))
    else:
        print_result(result)


def _stop(number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that Spark, Ray and the lock are given back on the way."""
    raise SystemExit(128 + number)


def _day(text: str | None) -> str | None:
    """Return `text` checked to be a day."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"--date={text!r} is no day; write it as YYYY-MM-DD") from error


def _log_to_stderr(verbose: bool) -> None:
    handler = RichHandler(
        console=Console(stderr=True),
        show_path=False,
        show_level=verbose,
        omit_repeated_times=False,
        log_time_format="%H:%M:%S",
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    for package in ("conf", "etl", "trainer", "serving"):
        logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.INFO)


if __name__ == "__main__":
    main()
