"""The subcommands `evaluate` and `outcome`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.command.running import (
    AsJson,
    ConfigPath,
    LogicalDate,
    Overrides,
    Verbose,
    day,
    require_output_place,
    run_command,
    works,
)
from conf.contract import MAIN

if TYPE_CHECKING:
    from conf.settings.config import Config

Role = Annotated[
    str, typer.Option("--role", help="Role of the model: main, ranker, or a channel's name.")
]
OfLists = Annotated[
    bool,
    typer.Option(
        "--lists", help="Measure the lists of section score, next to the main model alone."
    ),
]
Part = Annotated[
    str | None,
    typer.Option("--part", help="With --lists: valid or test. Default: test.", metavar="PART"),
]
EventFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--events",
        help="File of events after the publication (.csv, .jsonl, .parquet) with the columns of "
        "the log, or NAME=FILE with a name of input.events; give it once for each file.",
        metavar="FILE",
    ),
]
Day = Annotated[
    str | None,
    typer.Option("--date", help="Count what was shown on this day (UTC), YYYY-MM-DD."),
]
FirstDay = Annotated[
    str | None,
    typer.Option("--from", help="First day that counts. Default: the day of the first event."),
]
LastDay = Annotated[
    str | None,
    typer.Option("--to", help="Last day that counts. Default: the day of the last event."),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Version of lists whose value is estimated from lists with exploration.",
        metavar="ID",
    ),
]
OutcomePage = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="HTML file to write. Default: one in comparisons/ of the workspace."
    ),
]


def add_evaluate(app: typer.Typer, panel: str) -> None:
    """Add the subcommand.

    Args:
        app: The command.
        panel: Group of the subcommand in the help.
    """

    @app.command(rich_help_panel=panel)
    def evaluate(
        config: ConfigPath,
        overrides: Overrides = None,
        date: LogicalDate = None,
        role: Role = MAIN,
        lists: OfLists = False,
        part: Part = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        """Measure the current model again on the test part; with --lists, measure lists."""
        measure = works("run_measure", "judging")
        run_command(
            config,
            overrides,
            as_json,
            verbose,
            lambda loaded: measure(loaded, day(date), role, part, lists),
        )


def add_outcome(app: typer.Typer, panel: str) -> None:
    """Add the subcommand; see `add_evaluate`."""

    @app.command(rich_help_panel=panel)
    def outcome(
        config: ConfigPath,
        overrides: Overrides = None,
        events: EventFiles = None,
        date: Day = None,
        first: FirstDay = None,
        last: LastDay = None,
        policy: Policy = None,
        output: OutcomePage = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        """Say what happened after lists were published, and what other lists would have got."""

        def work(loaded: "Config") -> dict[str, Any]:
            if output is not None:
                require_output_place(output, config, loaded)
            days = (day(date), day(first, "--from"), day(last, "--to"))
            return works("run_outcome", "outcomes")(loaded, events or [], days, policy, output)

        run_command(config, overrides, as_json, verbose, work)
