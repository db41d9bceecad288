"""The section `score`: how lists are made, and which gates they must pass."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from conf.settings.lists.items_now import ItemsNow
from conf.settings.lists.rules import ListRules
from conf.settings.section import Positive, Section, Share


class Above(Section):
    """Limits of a share that should be small; a limit that is not set has the gate's default."""

    warn_above: Share | None = None
    """Above this share there is a warning; null: none."""
    refuse_above: Share | None = None
    """Above this share nothing is published; null: it is never refused."""


class Below(Section):
    """Limits of a share that should be large; a limit that is not set has the gate's default."""

    warn_below: Share | None = None
    """Below this share there is a warning; null: none."""
    refuse_below: Share | None = None
    """Below this share nothing is published; null: it is never refused."""


class Gates(Section):
    """Limits of the figures that are measured on the written lists before they are published."""

    unexplained_short_lists: Above = Above(warn_above=0, refuse_above=0.001)
    """Share of users whose list is short or missing though there were more items for them."""
    unknown_ids: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows with a user or item that the dataset lacks."""
    duplicate_items: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows that repeat an item of their list."""
    seen_items: Above = Above(warn_above=0, refuse_above=0.001)
    """Share of rows with an item of the user's history. Not measured with
    `score.drop_seen: false`."""
    rule_violations: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows that break a rule of `score.rules`, found by evaluating the rules again on the
    written rows. Not measured without rules."""
    misplaced_rows: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows that break the sequence of positions 1, 2, 3, ..."""
    bad_scores: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows whose score is not finite or above the one before."""
    unscored_users: Above = Above(warn_above=0, refuse_above=0.1)
    """Share of users whose history the model knows, but for whom it computed no finite scores; they
    get the fallback list."""
    users_without_lists: Above = Above(warn_above=0.01, refuse_above=0.5)
    """Share of users for whom no item is left."""
    short_lists: Above = Above(warn_above=0.01)
    """Share of users with fewer than `score.list_length` items, for any reason."""
    fallback_lists: Above = Above(warn_above=0.5, refuse_above=0.99)
    """Share of lists that are not the model's."""
    distinct_lists: Below = Below(warn_below=0.01)
    """Share of the model's lists that differ from one another. Not measured for models that rank
    by popularity alone."""
    catalogue_coverage: Below = Below(warn_below=0.01)
    """Share of the items that the model can recommend which are in at least one of its lists. If
    its lists have fewer rows than there are such items, it is the share of as many items as
    rows."""
    overlap_with_previous: Below = Below(warn_below=0.05)
    """Mean over users of the Jaccard index of the new list and the current one. Not measured if
    nothing is published, or if the two versions have no user or no item in common."""

    @field_validator("*", mode="before")
    @classmethod
    def _with_defaults(cls, given: Any, info: Any) -> Any:
        """Let a limit that is not set keep the gate's own default."""
        if not isinstance(given, Mapping):
            return given
        return {**cls.model_fields[info.field_name].default.model_dump(), **given}


class Score(Section):
    """How lists are made, and when they may be published."""

    workers: Positive = 1
    """Scoring workers; fewer are started if Ray has no room for all of them."""
    cpus_per_worker: Positive = 1
    """CPUs of each scoring worker; also its number of PyTorch threads."""
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    """GPUs of each scoring worker; 0 scores on the CPU."""
    list_length: Positive = 10
    """Items in each user's list; fewer if fewer are left for the user."""
    block_users: Positive = 512
    """Users scored together. Memory grows with this number times `score.block_items`."""
    block_items: Positive = 16_384
    """Items scored together. Memory grows with this number times `score.block_users`."""
    drop_seen: bool = True
    """Whether items of a user's history are left out of the user's list, and of the ranking that
    validation and test measure."""
    reasons: Annotated[int, Field(ge=0, le=10)] = 2
    """Most history items named as reasons for one recommended item; 0: none. With a network,
    finding the reasons takes about twenty times as long as making the lists."""
    rules: ListRules | None = None
    """What may be in a list, besides what the user has seen; null: everything."""
    items_now: ItemsNow | None = None
    """A table of items that is fresher than the dataset, for `score.rules`; null: none."""
    gates: Gates = Gates()
    """When lists are published with a warning, and when not at all. Other limits make no other
    lists: a run that finds them made judges them again."""
    min_full_share: Share | None = None
    """Earlier name of a limit: 0.99 is the same as 0.01 for
    `score.gates.short_lists.refuse_above`, and wins over it; null: no effect."""

    @model_validator(mode="after")
    def _fresher_table_is_used(self) -> "Score":
        if self.items_now is not None and self.rules is None:
            raise ValueError(
                "items_now is set, but no rule uses it; set rules, or items_now to null"
            )
        return self

    @model_validator(mode="after")
    def _pins_fit_in(self) -> "Score":
        taken: dict[int, str] = {}
        for name, pin in (self.rules.pins if self.rules is not None else {}).items():
            if pin.position > self.list_length:
                raise ValueError(
                    f"rules.pins.{name}.position={pin.position}, but a list has "
                    f"list_length={self.list_length} places; lower it"
                )
            other = taken.setdefault(pin.position, name)
            if other != name and pin.where is None:
                raise ValueError(
                    f"rules.pins.{name} has the position of rules.pins.{other}; give it another "
                    "one, or a condition: of two that count for a user, the first is taken"
                )
        return self

    @model_validator(mode="after")
    def _one_rule_about_the_past(self) -> "Score":
        has_rules = self.rules is not None and self.rules.leave_out
        if has_rules and self.drop_seen and "drop_seen" in self.model_fields_set:
            raise ValueError(
                "drop_seen=true leaves out every item of the history, so rules.leave_out would "
                "have no effect; remove drop_seen, or remove rules.leave_out"
            )
        return self

    @property
    def drops_seen(self) -> bool:
        """Whether lists leave out all items of the history."""
        return self.drop_seen and not (self.rules is not None and self.rules.leave_out)

    def limits(self) -> Gates:
        """Return the limits of the gates, those of earlier names included."""
        if self.min_full_share is None:
            return self.gates
        most_short = round(1 - self.min_full_share, 9)
        limits = self.gates.short_lists.model_copy(update={"refuse_above": most_short})
        return self.gates.model_copy(update={"short_lists": limits})
