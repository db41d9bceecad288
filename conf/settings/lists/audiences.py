"""The setting `score.audiences`: lists of users for items, such as the receivers of a campaign."""

from typing import Annotated

from pydantic import Field, model_validator

from conf.settings.lists.rules import Expression
from conf.settings.section import Positive, Section


class Audience(Section):
    """The users whom an item, or a segment of items, fits best. Set one of item, path, where."""

    item: Annotated[str, Field(min_length=1)] | None = None
    """Id of the one item, as in the log; null: several items, or none."""
    path: Annotated[str, Field(min_length=1)] | None = None
    """File with the ids of the items, relative to `input.root`: one id a line, or a csv whose
    header has the column item_id. null: no file."""
    where: Expression | None = None
    """SQL condition over fields of items, which the items meet, such as `category = 'tents'`; null:
    no condition."""
    users: Expression | None = None
    """SQL condition over fields of users, such as `user.region = 'north'`: only users who meet it
    are named. null: all users."""
    count: Positive = 1000
    """Most users that are named."""

    @model_validator(mode="after")
    def _items_have_one_source(self) -> "Audience":
        given = [name for name in ("item", "path", "where") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "set exactly one of item, path and where, to name the items; now set: "
                f"{', '.join(given) or 'none'}"
            )
        return self
