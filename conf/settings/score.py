"""The section `score`: how lists are made, and which gates they must pass."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from conf.contract import MAIN, RANKER
from conf.settings.counting import CountingName
from conf.settings.lists.audiences import Audience
from conf.settings.lists.diversity import Diversity, Exploration
from conf.settings.lists.items_now import ItemsNow
from conf.settings.lists.rules import ListRules
from conf.settings.section import Name, Positive, Section, Share

Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*$")]
"""A language as in IETF language tags, such as en or pt-BR."""
Source = Literal["model", "list", CountingName]
POPULAR = ("popularity", "recent_popularity")
"""Sources that are counted in the dataset when lists are made; they are no models of their own."""
TRAINED = tuple(name for name in get_args(CountingName) if name not in POPULAR)
"""Sources that are trained as models, with the name of the channel as their role."""
MOST_CHANNELS = 60  # a bit each in 64


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
    """Share of rows whose score is not finite or above the one before. With `score.diversity` the
    order is not judged in the model's lists."""
    bad_propensities: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows whose propensity is not above 0 and at most 1, or does not fit
    `score.exploration.share`. Not measured without `score.exploration`."""
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


class Texts(Section):
    """Sentences that say to people why an item is in their list."""

    languages: Annotated[tuple[Language, ...], Field(max_length=50)] = ()
    """Languages of the sentences; the lists get the column `texts` with one sentence in each. en,
    de and zh are built in, `score.texts.file` adds others. Empty: no sentences."""
    file: str | None = None
    """YAML file with sentences of your own, which replace those built in; null: none."""
    field: Name | None = None
    """Field of `input.items.fields` that sentences about new and about popular items name, such as
    the category in "New in Camping"; null: they name none."""

    @field_validator("languages")
    @classmethod
    def _each_once(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(languages)) < len(languages):
            raise ValueError("names a language twice; name each once")
        return languages


class SimilarItems(Section):
    """Lists of similar items, one for every item."""

    count: Positive = 10
    """Items in each list; fewer if the model finds fewer."""
    by: Literal["model", "vectors"] = "model"
    """model: what the model recommends to somebody whose only event is this item, so what comes
    next. vectors: items whose vectors point in the same direction, so what is alike; only with a
    network or als."""


class Channel(Section):
    """A channel: where its items come from, and how many it names for each user."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: Annotated[Source, Field(alias="from")]
    """Where the items come from. model: the main model. list: a file of item ids. popularity and
    recent_popularity: counts of the dataset. The others: a counting model, which is trained after
    the main one with the settings of `train.counting`, unless the main model is of that kind."""
    count: Positive
    """Most items that the channel names for one user."""
    by: Name | None = None
    """Field of `input.users`: popularity among the users with the same value; null: among all
    users. Only with popularity and recent_popularity."""
    path: str | None = None
    """File of item ids as in the log, one per line, the best first; below `input.root` unless it
    is absolute. Only with `from: list`, which needs it."""

    @model_validator(mode="after")
    def _keys_fit(self) -> "Channel":
        if self.by is not None and self.source not in POPULAR:
            raise ValueError(
                f"by={self.by!r} is only for {' and '.join(POPULAR)}, but from is "
                f"{self.source!r}; leave it out"
            )
        if self.source == "list" and self.path is None:
            raise ValueError("from is 'list', but path is missing; name the file of item ids")
        if self.source != "list" and self.path is not None:
            raise ValueError(
                f"path={self.path!r} is only for from: list, but from is {self.source!r}"
            )
        return self


def wrong_names(channels: dict[str, Channel]) -> list[str]:
    """Return the names of channels that are roles of other models."""
    return [name for name in channels if name in (MAIN, RANKER)]


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
    texts: Texts = Texts()
    """Sentences that say to people why an item is in their list."""
    similar_items: SimilarItems | None = None
    """Lists of similar items for pages of items; null: none."""
    audiences: dict[Name, Audience] = {}
    """Lists of users whom an item or a segment of items fits best, by names of your own."""
    candidates: Annotated[dict[Name, Channel], Field(min_length=1)] | None = None
    """Channels, by a name of your own, that each name some items for every user; a list has the
    best of these. With the section `ranker` it orders them, else they are fused by their ranks.
    null: the lists are those of the main model alone."""
    objective: dict[Name, float] = {}
    """What the ranker orders by: labels with their weights, whose predicted probabilities are
    summed up, such as `{click: 0.3, buy: 1.0}`; {}: its first label alone."""
    value: Name | None = None
    """Field of `input.items` with a number, such as a margin, that the ranker's prediction is
    multiplied by; null: none."""
    context: dict[Name, str | int | float] = {}
    """Values of the context that the ranker shall assume, by field of `input.events`, or `hour`
    (0 to 23, UTC) and `weekday` (0 is Monday), such as `{device: mobile, hour: 20}`. A field of
    which nothing is known is given to the ranker as missing, and named in a warning."""
    max_pairs: Positive = 20_000_000
    """Most pairs of a user and an item that `train.algorithm: ranking` scores without
    `score.candidates`; with more, name channels there. Changes no list."""
    rules: ListRules | None = None
    """What may be in a list, besides what the user has seen; null: everything."""
    diversity: Diversity | None = None
    """Lists of items that differ from each other; null: the score alone decides."""
    exploration: Exploration | None = None
    """Places for items drawn at random, with their probabilities; null: none."""
    items_now: ItemsNow | None = None
    """A table of items that is fresher than the dataset, for `score.rules`; null: none."""
    gates: Gates = Gates()
    """When lists are published with a warning, and when not at all. Other limits make no other
    lists: a run that finds them made judges them again."""
    min_full_share: Share | None = None
    """Earlier name of a limit: 0.99 is the same as 0.01 for
    `score.gates.short_lists.refuse_above`, and wins over it; null: no effect."""

    @field_validator("candidates")
    @classmethod
    def _channels_have_names_of_their_own(
        cls, channels: dict[str, Channel] | None
    ) -> dict[str, Channel] | None:
        wrong = wrong_names(channels or {})
        if wrong:
            raise ValueError(f"{wrong[0]!r} is the role of another model; choose another name")
        if len(channels or {}) > MOST_CHANNELS:
            raise ValueError(f"there are more than {MOST_CHANNELS} channels; name fewer")
        return channels

    @model_validator(mode="after")
    def _chooses_from_the_catalogue(self) -> "Score":
        given = self.diversity
        if given is not None and given.candidates < self.list_length:
            raise ValueError(
                f"diversity.candidates={given.candidates}, but a list has "
                f"list_length={self.list_length} places; raise it"
            )
        for name in ("diversity", "exploration"):
            if getattr(self, name) is not None and self.candidates is not None:
                raise ValueError(
                    f"{name} and candidates are both set, but {name} acts on the lists of the main "
                    "model alone; remove one of them"
                )
        return self

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

    def with_list_rules(self) -> "Score":
        """Return the section with empty rules if lists are arranged without any."""
        if self.rules is not None or (self.diversity is None and self.exploration is None):
            return self
        return self.model_copy(update={"rules": ListRules(refill=False)})

    def limits(self) -> Gates:
        """Return the limits of the gates, those of earlier names included."""
        if self.min_full_share is None:
            return self.gates
        most_short = round(1 - self.min_full_share, 9)
        limits = self.gates.short_lists.model_copy(update={"refuse_above": most_short})
        return self.gates.model_copy(update={"short_lists": limits})
