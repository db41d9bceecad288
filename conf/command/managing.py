"""The subcommands that manage a workspace: promote, roll back, remove versions and people."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from conf.command.measuring import Role
from conf.command.running import (
    AsJson,
    ConfigPath,
    Overrides,
    Verbose,
    add_plain,
    run_command,
    works,
)
from conf.contract import MAIN

UsersFile = Annotated[
    Path, typer.Option("--users", help="Text file with one user id per line, as in the log.")
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="What to roll back: datasets, models or lists. Default: lists, or models with --role.",
    ),
]
Allowed = Annotated[
    str | None,
    typer.Option(
        "--allow",
        help="Roll nothing back; let this withdrawn version be published again.",
        metavar="ID",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Remove nothing; print what would be removed.")
]


def add_managing(app: typer.Typer, panel: str) -> None:
    """Add the subcommands, in the order of the help.

    Args:
        app: The command.
        panel: Group of the subcommands in the help.
    """
    text = "Make the canary (publish.share: lists that a share of the users sees) current for all."
    add_plain(app, panel, "promote", text, works("run_promote", "managing"))
    for add in (_add_rollback, _add_gc, _add_erase):
        add(app.command(rich_help_panel=panel))
    text = "Write the log of a made-up shop to input.root."
    add_plain(app, panel, "generate", text, works("run_generate"))


_Add = Callable[[Callable[..., None]], Callable[..., None]]


def _add_rollback(add: _Add) -> None:
    @add
    def rollback(
        config: ConfigPath,
        overrides: Overrides = None,
        kind: Kind = None,
        role: Role = MAIN,
        allow: Allowed = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        """Take a canary back, or make the previous version current again."""
        run_command(
            config,
            overrides,
            as_json,
            verbose,
            lambda c: works("run_rollback", "managing")(c, kind, allow, role),
        )


def _add_gc(add: _Add) -> None:
    @add
    def gc(
        config: ConfigPath,
        overrides: Overrides = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        """Remove old versions that nothing needs, as the section `retention` says."""
        run_command(
            config,
            overrides,
            as_json,
            verbose,
            lambda c: works("run_gc", "managing")(c, dry_run),
        )


def _add_erase(add: _Add) -> None:
    @add
    def erase(
        config: ConfigPath,
        users: UsersFile,
        overrides: Overrides = None,
        as_json: AsJson = False,
        verbose: Verbose = False,
    ) -> None:
        """Remove users' rows from all versions and name the models that learned from them."""
        run_command(
            config, overrides, as_json, verbose, lambda c: works("run_erase", "managing")(c, users)
        )
