"""The section `outcome`: which events say that a list was shown, and that it did well."""

from typing import Annotated

from pydantic import Field, model_validator

from conf.settings.section import Name, Positive, Section, Share

Worth = Annotated[float, Field(ge=1e-9, le=1e9)]


class Outcome(Section):
    """What `headrace outcome` counts in the events after a publication."""

    shown: str | None = None
    """Type of the events that say that an item of a list was shown to its user. null: there are no
    such events; then a whole list counts as shown to its user on each day with an event of the
    user."""
    acted: dict[str, Worth] = {}
    """Types of events that count as successes, each with its worth, such as
    `{purchase: 1, view: 0.1}`; of several acts on one item the most valuable counts. {}: all of
    `etl.event_types` that are not `shown_only` and have a weight above 0, at 1 each."""
    within_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 24
    """An act counts if it happens at most this many hours after the item was shown."""
    list_id: str | None = None
    """Column of the events with the `list_id` of the list that was shown or acted on; null: events
    are joined with lists by user, item and time. Events without a value are joined like this
    too."""
    position: str | None = None
    """Column of the events with the position in the list at which the item was shown, from 1;
    events with another position than in the list are not counted. null: the position is not
    compared."""
    segment: Name | None = None
    """Field of `input.users.fields` whose values are counted apart; null: none."""
    min_support: Share = 0.8
    """Smallest share of the impressions that could have had the item of a policy's list: with less,
    `--policy` gives no estimate."""
    min_effective: Positive = 100
    """Smallest effective number of users, by the weights of the estimate: with less, `--policy`
    gives none."""

    @model_validator(mode="after")
    def _shown_is_no_success(self) -> "Outcome":
        if self.shown is not None and self.shown in self.acted:
            raise ValueError(
                f"shown={self.shown!r} is also in acted, so each shown item would be a success; "
                "leave it out of one of them"
            )
        return self
