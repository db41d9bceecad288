"""What all subcommands have in common: the flags, the log on stderr, errors and exit codes."""

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

from conf.errors import ConfigError, HeadraceError
from conf.load import load_config
from conf.report import print_result, printable
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
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")]
LogicalDate = Annotated[
    str | None,
    typer.Option("--date", help="Logical date, YYYY-MM-DD. Else the day of the newest event."),
]
Work = Callable[[Config], dict[str, Any]]


def add_plain(name: str, text: str, work: Work) -> None:
    """Add a subcommand that takes no flags but those of all.

    Args:
        name: Of the subcommand.
        text: What its help says.
        work: Does it, and returns the result.
    """

    def subcommand(
        config: ConfigPath,
        overrides: Overrides = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        run_command(config, overrides, as_json, verbose, work)

    app.command(name, help=text)(subcommand)


def add_dated(name: str, text: str, work: Callable[[Config, str | None], dict[str, Any]]) -> None:
    """Add a subcommand that takes a logical date besides, which `work` gets."""

    def subcommand(
        config: ConfigPath,
        overrides: Overrides = None,
        date: LogicalDate = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        run_command(config, overrides, as_json, verbose, lambda c: work(c, _day(date)))

    app.command(name, help=text)(subcommand)


def run_command(
    path: Path,
    overrides: list[str] | None,
    as_json: bool,
    verbose: bool,
    work: Work,
) -> None:
    """Load the configuration, do the work, and print what came of it."""
    _log_to_stderr(verbose)
    signal.signal(signal.SIGTERM, _stop)
    try:
        with redirect_stdout(sys.stderr):  # Ray and Spark print; stdout is the result's alone
            result = work(load_config(path, overrides or []))
    except HeadraceError as error:
        print(f"headrace: {printable(str(error))}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt:
        print("headrace: interrupted; what was committed stays", file=sys.stderr)
        raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        print(json.dumps(result, default=str))
    else:
        print_result(result)


def _day(text: str | None) -> str | None:
    """Return `text` checked to be a day."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"--date={text!r} is no day; write it as YYYY-MM-DD") from error


def _stop(number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that Spark, Ray and the lock are given back on the way."""
    raise SystemExit(128 + number)


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
