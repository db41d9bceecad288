"""The subcommand `score`: a list for every user of the dataset, or for the users of a file."""

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
from conf.errors import ConfigError

if TYPE_CHECKING:
    from conf.settings.config import Config

EventsFile = Annotated[
    Path | None,
    typer.Option(
        "--events",
        help="File of events (.csv, .jsonl, .parquet) with the columns of the log: make lists for "
        "its users, and publish nothing.",
    ),
]
UsersFile = Annotated[
    Path | None,
    typer.Option(
        "--users",
        help="File of users with the columns of input.users: make lists for them too.",
    ),
]
ListsFile = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="With --events or --users: file to write (.parquet, .csv, .jsonl)."
    ),
]


def add_score(app: typer.Typer, panel: str) -> None:
    """Add the subcommand."""

    def score(
        config: ConfigPath,
        overrides: Overrides = None,
        date: LogicalDate = None,
        events: EventsFile = None,
        users: UsersFile = None,
        output: ListsFile = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        def work(loaded: "Config") -> dict[str, Any]:
            if events is None and users is None:
                if output is not None:
                    raise ConfigError(
                        f"--output={output} is only for --events and --users; lists of all users "
                        "are published in the workspace"
                    )
                return works("run_score")(loaded, day(date))
            if output is None:
                raise ConfigError(
                    "--events and --users need --output FILE, which gets the lists: nothing is "
                    "published"
                )
            require_output_place(output, config, loaded)
            return works("run_visitors", "predicting")(loaded, events, users, output, day(date))

        run_command(config, overrides, as_json, verbose, work)

    text = "Write and publish a list for every user (Ray), or make lists for users of a file."
    app.command("score", help=text, rich_help_panel=panel)(score)
