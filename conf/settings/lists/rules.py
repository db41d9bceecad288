"""The section `score.rules`: what may be in a list, and where."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from conf.settings.section import Name, Positive, Section, Share

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


class Fatigue(Section):
    """Items that were shown before without effect."""

    versions: Positive
    """Number of published versions of lists, of days before the dataset's, that count."""
    events: Annotated[tuple[str, ...], Field(min_length=1)]
    """Types of events, of `etl.event_types`, after which an item may be shown again: those of the
    days after the list's day."""


class Cap(Section):
    """Most items with one value of a field; a number alone is `most`."""

    most: Positive
    """Most items of one value; items without a value do not count."""
    within: Positive | None = None
    """Number of neighbouring places that the limit counts for: in any so many places in a row there
    are at most so many items of one value. null: in the whole list."""

    @model_validator(mode="before")
    @classmethod
    def _number_alone(cls, given: Any) -> Any:
        is_number = isinstance(given, int) and not isinstance(given, bool)
        return {"most": given} if is_number else given

    @model_validator(mode="after")
    def _limits_something(self) -> "Cap":
        if self.within is not None and self.within <= self.most:
            raise ValueError(
                f"within={self.within} places have no more than most={self.most} items anyway; "
                "raise within, or lower most"
            )
        return self


class Pin(Section):
    """An item at a place of its own."""

    item: Annotated[str, Field(min_length=1)]
    """Id of the item, as in the log."""
    position: Positive
    """Place in the list; 1 is the first."""
    where: Expression | None = None
    """Condition over fields of users; only they get the item there. null: all users do."""


class ShareOfPlaces(Section):
    """Items that have at least a share of the places of all lists together."""

    where: Expression
    """Condition over fields of items."""
    at_least: Share
    """Share of the places, 0 to 1. Each list has its part of it, rounded up for some users and down
    for others so that the sum is right."""


class Boost(Section):
    """A change of the model's scores before the best items are cut."""

    where: Expression | None = None
    """Condition for the items (and users) whose score is changed; null: all items."""
    times: float | Expression | None = None
    """Factor above 0, or an SQL expression over fields of items. A score below zero is divided by
    it, so that a factor above 1 raises every score. Excludes `add`."""
    add: float | Expression | None = None
    """What is added to the score, a number or an SQL expression over fields of items, in units of
    the model's scores. Excludes `times`."""

    @model_validator(mode="after")
    def _changes_in_one_way(self) -> "Boost":
        if (self.times is None) == (self.add is None):
            raise ValueError("set either times or add, and not both")
        if isinstance(self.times, int | float) and self.times <= 0:
            raise ValueError(
                f"times={self.times:g} must be above 0; to leave items out, use score.rules.where"
            )
        return self


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
    fatigue: Fatigue | None = None
    """Items that the last lists have shown to the user, who did not act on them since, are left
    out; null: they are not."""
    caps: dict[Name, Cap] = {}
    """Most items of a list with one value of a field, by the field's name: `category: 2`."""
    pins: dict[Name, Pin] = {}
    """Items at a place of their own. They obey all other rules but `least_score`; a user who must
    not get the item has another one there."""
    shares: dict[Name, ShareOfPlaces] = {}
    """Least shares of places, by names of your own. Their sum is at most 1."""
    boosts: dict[Name, Boost] = {}
    """Changes of scores, by names of your own: first all factors, then all sums. They count in the
    model's lists only."""
    least_score: float | None = None
    """Items with a lower score of the model, before boosts, are left out of its lists; null: no
    limit."""
    refill: bool = True
    """Whether the model's lists that the rules leave short are filled up with popular items, which
    obey the same rules but `least_score`."""

    @model_validator(mode="after")
    def _shares_fit_in(self) -> "ListRules":
        total = sum(share.at_least for share in self.shares.values())
        if total > 1:
            raise ValueError(
                f"shares: the sum of at_least is {total:g}, but all places are 1; lower them"
            )
        return self

    @property
    def arranges(self) -> bool:
        """Whether places are chosen otherwise than by score alone."""
        return bool(self.caps or self.pins or self.shares)
