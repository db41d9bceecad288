"""The subcommand `deliver`."""

from typing import Annotated

import typer

from conf.command.running import AsJson, ConfigPath, Overrides, Verbose, run_command, works

TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="Name in the section deliver. Default: all targets.",
        metavar="NAME",
        show_default=False,
    ),
]


def add_deliver(app: typer.Typer, panel: str) -> None:
    """Add the subcommand.

    Args:
        app: The command.
        panel: Group of the subcommand in the help.
    """

    @app.command(rich_help_panel=panel)
    def deliver(
        config: ConfigPath,
        overrides: Overrides = None,
        target: TargetName = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        """Deliver the current lists to the targets of the section `deliver`; finish killed runs."""
        run_command(
            config,
            overrides,
            as_json,
            verbose,
            lambda loaded: works("run_deliver", "delivering")(loaded, target),
        )
