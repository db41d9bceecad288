"""The section `score.rules`: what may be in a list, and where."""

from typing import Annotated

from pydantic import Field

from conf.settings.section import Name, Positive, Section

Expression = Annotated[str, Field(min_length=1)]
"""SQL over fields of items (`stock`, `item.stock`), of users (`user.region`) and `run_date`."""


class ItemList(Section):
    """A file of item ids."""

    path: Annotated[str, Field(min_length=1)]
    """File relative to `input.root`: one id a line, or a csv whose header has the column
    item_id."""
    where: Expression | None = None
    """Condition over fields of users; the list counts for the users who meet it. null: for all."""


class LeaveOut(Section):
    """Events whose items are left out of their user's list."""

    events: Annotated[tuple[str, ...], Field(min_length=1)]
    """Types of events, of `etl.event_types`."""
    days: Positive | None = None
    """Only events of so many days before the dataset's newest event count, the instant itself
    included; null: all events."""


class ListRules(Section):
    """Rules of lists: they act before the best items are cut, so lists stay full."""

    where: dict[Name, Expression] = {}
    """Conditions that every item of a list must meet, by names of your own: SQL expressions that
    are true or false, over fields of items (`stock` or `item.stock`), fields of users
    (`user.region`) and the logical date `run_date`. An item for which a condition is null is left
    out, and counted apart."""
    allow: dict[Name, ItemList] = {}
    """Lists of the only items that may be in a list; with several, an item must be in each."""
    deny: dict[Name, ItemList] = {}
    """Lists of items that must not be in a list."""
    leave_out: dict[Name, LeaveOut] = {}
    """Items that users acted on, by type and age of the event. It takes the place of
    `score.drop_seen`, which must not be set to true then."""
