"""The subcommands that manage a workspace: deliver, promote, roll back, remove, erase."""

from pathlib import Path
from typing import Annotated, Any

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
Gone = Annotated[
    list[str] | None,
    typer.Option(
        "--gone",
        help="Target of lists that is gone for good and no longer in deliver: do not wait for it; "
        "the receipt names it. May be repeated.",
        metavar="NAME",
        show_default=False,
    ),
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
TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="Name in the section deliver. Default: all targets.",
        metavar="NAME",
        show_default=False,
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
    app.command(rich_help_panel=panel)(deliver)
    text = "Make the canary (publish.share: lists that a share of the users sees) current for all."
    add_plain(app, panel, "promote", text, works("run_promote", "managing"))
    for subcommand in (rollback, gc, erase):
        app.command(rich_help_panel=panel)(subcommand)
    text = "Write the log of a made-up shop to input.root."
    add_plain(app, panel, "generate", text, works("run_generate"))


def deliver(
    config: ConfigPath,
    overrides: Overrides = None,
    target: TargetName = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Deliver the current lists to the targets of the section `deliver`; finish killed runs."""
    _manage("run_deliver", config, overrides, as_json, verbose, target)


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
    _manage("run_rollback", config, overrides, as_json, verbose, kind, allow, role)


def gc(
    config: ConfigPath,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Remove old versions that nothing needs, as the section `retention` says."""
    _manage("run_gc", config, overrides, as_json, verbose, dry_run)


def erase(
    config: ConfigPath,
    users: UsersFile,
    overrides: Overrides = None,
    gone: Gone = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Remove users' rows from all versions and name the models that learned from them."""
    _manage("run_erase", config, overrides, as_json, verbose, users, gone or ())


def _manage(
    function: str,
    config: Path,
    overrides: list[str] | None,
    as_json: bool,
    verbose: bool,
    *given: Any,
) -> None:
    """Run a function of `conf.runs.managing` with the configuration and what is given."""
    work = works(function, "managing")
    run_command(config, overrides, as_json, verbose, lambda loaded: work(loaded, *given))
