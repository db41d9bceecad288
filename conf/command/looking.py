"""What the subcommand `show` looks up."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.command.running import works
from conf.errors import ConfigError

if TYPE_CHECKING:
    from conf.settings.config import Config

UserId = Annotated[
    str | None,
    typer.Option("--user", help="User id as in the log, or `first` for any user.", metavar="ID"),
]
ItemId = Annotated[
    str | None,
    typer.Option("--item", help="Item id as in the log, or `first` for any item.", metavar="ID"),
]
AudienceName = Annotated[
    str | None,
    typer.Option(
        "--audience", help="Name in score.audiences, or `first` for the first.", metavar="NAME"
    ),
]


def looked_up(
    config: "Config",
    user: str | None,
    item: str | None,
    audience: str | None,
    scenario: str | None = None,
) -> dict[str, Any]:
    """Look up a user, an item or an audience.

    Raises:
        ConfigError: When none or several are given, or a scenario without a user.
    """
    asked = {"run_show": user, "run_show_item": item, "run_show_audience": audience}
    given = {name: one for name, one in asked.items() if one is not None}
    if len(given) != 1:
        raise ConfigError(
            "show needs one of --user ID, --item ID and --audience NAME; `first` shows any"
        )
    if scenario is not None and user is None:
        raise ConfigError("show: --scenario needs --user ID, because scenarios have lists of users")
    if user is not None:
        return works("run_show", "looking")(config, user, scenario)
    [(name, one)] = given.items()
    return works(name, "looking")(config, one)
