"""What all subcommands have in common: the flags, the log on stderr, errors and exit codes."""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.command.stopping import stoppable
from conf.command.streams import complain, whole_output
from conf.errors import ConfigError, EngineDiedError, HeadraceError
from conf.masking.texts import masked, masked_result
from conf.workspace.folders import set_umask
from conf.workspace.storage import storage_told

if TYPE_CHECKING:
    from conf.settings.config import Config

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="YAML file of the run.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Changes to the configuration: section.key=value.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log more details to stderr.")]
LogicalDate = Annotated[
    str | None,
    typer.Option(
        "--date",
        help="Logical date, YYYY-MM-DD. Default: for a new dataset the day of its newest event, "
        "otherwise the current version.",
    ),
]
ScenarioName = Annotated[
    str | None,
    typer.Option(
        "--scenario",
        help="Name in score.scenarios. Default: the list of score itself.",
        show_default=False,
    ),
]
Work = Callable[["Config"], dict[str, Any]]
log = logging.getLogger(__name__)


def works(function: str, module: str = "stages") -> Callable[..., dict[str, Any]]:
    """Return a function of `conf.runs`; its module is imported only when it is called.

    Args:
        function: Name of the function.
        module: Name of its module in `conf.runs`.
    """

    def call(*args: Any) -> dict[str, Any]:
        result: dict[str, Any] = getattr(import_module(f"conf.runs.{module}"), function)(*args)
        return result

    return call


def add_plain(app: typer.Typer, panel: str, name: str, text: str, work: Work) -> None:
    """Add a subcommand with the common flags only.

    Args:
        app: The command.
        panel: Group of the subcommand in the help.
        name: Name of the subcommand.
        text: Its help text.
        work: Does the work and returns the result.
    """

    def subcommand(
        config: ConfigPath,
        overrides: Overrides = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        run_command(config, overrides, as_json, verbose, work)

    app.command(name, help=text, rich_help_panel=panel)(subcommand)


def add_dated(
    app: typer.Typer,
    panel: str,
    name: str,
    text: str,
    work: Callable[["Config", str | None], dict[str, Any]],
) -> None:
    """Add a subcommand that also takes a logical date and passes it to `work`."""

    def subcommand(
        config: ConfigPath,
        overrides: Overrides = None,
        date: LogicalDate = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        run_command(config, overrides, as_json, verbose, lambda c: work(c, day(date)))

    app.command(name, help=text, rich_help_panel=panel)(subcommand)


def require_output_place(output: Path, config: Path, loaded: "Config") -> None:
    """Refuse an output file that would overwrite one of Headrace, see `require_place`."""
    from conf.workspace.output_file import require_place

    require_place(output, config, Path(loaded.run.output))


def run_command(
    path: Path,
    overrides: list[str] | None,
    as_json: bool,
    verbose: bool,
    work: Work,
) -> None:
    """Load the configuration, do the work, and print the result."""
    from conf.command.printing.cells import printable
    from conf.runs.scratch import folders_of
    from conf.settings.load import load_config

    _log_to_stderr(verbose)
    try:
        # Ray and Spark print; stdout is only for the result.
        with stoppable(), redirect_stdout(sys.stderr):
            config = load_config(path, overrides or [])
            set_umask(config.run.umask)
            with storage_told(folders_of(config)):
                result = work(config)
    except HeadraceError as error:
        log.debug("%s", error, exc_info=error.__cause__)
        if error.made is not None:  # what was made comes before the refusal
            _print({**error.made, "error": str(error)} if as_json else error.made, as_json)
        complain(printable(masked(str(error))))
        if isinstance(error, EngineDiedError):
            os._exit(error.exit_code)  # the rest of Ray in this process would abort it
        raise typer.Exit(error.exit_code) from error
    _print(result, as_json)


def _print(result: dict[str, Any], as_json: bool) -> None:
    from conf.command.printing.tables import print_result

    result = masked_result(result)
    with whole_output():
        if as_json:
            print(json.dumps(result, default=str))
        else:
            print_result(result)


def day(text: str | None, option: str = "--date") -> str | None:
    """Return `text` after checking that it is a date."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"{option}={text!r} is not a date; write it as YYYY-MM-DD") from error


class _WithoutSecrets(logging.Filter):
    """Masks secrets in messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), None
        return True


def _show_masked(kind: type[BaseException], error: BaseException, place: Any) -> None:
    """Print the traceback of an unexpected error, with secrets masked."""
    print(masked("".join(traceback.format_exception(kind, error, place))), end="", file=sys.stderr)


class _OneLine(logging.Formatter):
    """A record as one line, whatever its message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return " ".join(super().formatMessage(record).split())


def _log_to_stderr(verbose: bool) -> None:
    """Log to a terminal with folded lines, else, for files and other programs, one a record."""
    logging.raiseExceptions = False  # a stderr that cannot be written ends no run
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(
            console=Console(stderr=True),
            show_path=False,
            show_level=verbose,
            omit_repeated_times=False,
            log_time_format="%H:%M:%S",
        )
    else:
        handler = logging.StreamHandler()
        level = " %(levelname)-8s" if verbose else ""
        handler.setFormatter(_OneLine(f"%(asctime)s{level} %(message)s", "%H:%M:%S"))
    handler.addFilter(_WithoutSecrets())
    sys.excepthook = _show_masked
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    for package in ("conf", "etl", "trainer", "serving"):
        logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.INFO)
