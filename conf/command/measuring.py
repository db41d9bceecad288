"""The subcommand `evaluate`."""

from typing import Annotated

import typer

from conf.command.running import (
    AsJson,
    ConfigPath,
    LogicalDate,
    Overrides,
    Verbose,
    day,
    run_command,
    works,
)
from conf.contract import MAIN

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
