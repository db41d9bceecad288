"""The section `score`: how lists are made, and which gates they must pass."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from conf.contract import AUDIENCES, MAIN, RANKER, SIMILAR_ITEMS, SOURCES
from conf.settings.counting import CountingName
from conf.settings.lists.audiences import Audience
from conf.settings.lists.diversity import Diversity, Exploration
from conf.settings.lists.gates import Gates
from conf.settings.lists.index import Index
from conf.settings.lists.items_now import ItemsNow
from conf.settings.lists.rules import Expression, ListRules
from conf.settings.lists.similar_items import SimilarItems
from conf.settings.lists.texts import Texts
from conf.settings.section import Name, Positive, Section, Share

Source = Literal["model", "list", CountingName]
POPULAR = ("popularity", "recent_popularity")
"""Sources that are counted in the dataset when lists are made; they are no models of their own."""
TRAINED = tuple(name for name in get_args(CountingName) if name not in POPULAR)
"""Sources that are trained as models, with the name of the channel as their role."""
MOST_CHANNELS = 60  # a bit each in 64
NumReasons = Annotated[int, Field(ge=0, le=10)]
Context = dict[Name, str | int | float]


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


class Scenario(Section):
    """A further list for each user, such as for the cart; a key that is null is as in `score`."""

    users: Expression | None = None
    """Condition over fields of users, such as `user.region = 'north'`: only they get lists here.
    null: all users."""
    list_length: Positive | None = None
    """As `score.list_length`."""
    drop_seen: bool | None = None
    """As `score.drop_seen`. Validation and test always use `score.drop_seen`."""
    reasons: NumReasons | None = None
    """As `score.reasons`."""
    texts: Texts | None = None
    """As `score.texts`."""
    candidates: dict[Name, Channel] | None = None
    """As `score.candidates`; {}: the lists are those of the main model alone."""
    objective: dict[Name, float] | None = None
    """As `score.objective`."""
    value: Name | None = None
    """As `score.value`."""
    context: Context | None = None
    """As `score.context`."""
    rules: ListRules | None = None
    """As `score.rules`; {}: there are none. They take the place of all rules of `score`."""
    diversity: Diversity | None = None
    """As `score.diversity`; a weight of 0 turns it off."""
    exploration: Exploration | None = None
    """As `score.exploration`; a share of 0 turns it off."""
    gates: Gates | None = None
    """As `score.gates`; a gate that is not named is as there."""

    def over(self, score: "Score") -> dict[str, Any]:
        """Return the keys of `score` as they are for this scenario, without those of the run."""
        found = {key: getattr(score, key) for key in score.model_fields_set - _OF_SCORE_ALONE}
        own = {key: getattr(self, key) for key in self.model_fields_set - {"users"}}
        own = {key: value for key, value in own.items() if value is not None}
        if self.rules is not None and self.rules.leave_out:
            found.pop("drop_seen", None)  # the rules take its place
        if self.gates is not None:
            limits = {name: getattr(self.gates, name) for name in self.gates.model_fields_set}
            own["gates"] = score.gates.model_copy(update=limits)
            if "short_lists" in limits:
                found.pop("min_full_share", None)
        found |= own
        found["candidates"] = found.get("candidates") or None
        off = {"rules": found.get("rules") == ListRules()}
        for key, strength in (("diversity", "weight"), ("exploration", "share")):
            off[key] = getattr(own.get(key), strength, 1) == 0
        found |= {key: None for key, is_off in off.items() if is_off}
        if all(found.get(key) is None for key in ("rules", "diversity", "exploration")):
            found["items_now"] = None  # nothing uses it
        return found


_OF_SCORE_ALONE = {"scenarios", "similar_items", "audiences", "keep_unchanged"}


def wrong_names(channels: dict[str, Channel]) -> list[str]:
    """Return the names of channels that are roles of other models."""
    return [name for name in channels if name in (MAIN, RANKER)]


def _refuse_sources(names: Iterable[str]) -> None:
    wrong = [name for name in names if name in SOURCES]
    if wrong:
        raise ValueError(
            f"{wrong[0]!r} is reserved for a source of items (reserved: {', '.join(SOURCES)}); "
            "choose another name"
        )


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
    index: Index | None = None
    """Approximate search for the best items, for networks over large catalogues; null: exact."""
    keep_unchanged: bool = True
    """Whether lists of an earlier version are reused for users whose inputs have not changed:
    events, model, rules. The result is the same and takes less time, if the machine gives a user
    the same scores in every batch; a sample of the users checks it. false: new lists are all made.
    Lists that are there already are not made again."""
    drop_seen: bool = True
    """Whether items of a user's history are left out of the user's list, and of the ranking that
    validation and test measure."""
    reasons: NumReasons = 2
    """Most history items named as reasons for one recommended item; 0: none. With a network, lists
    with reasons take at most about 9 times as long; with histories of 50 items, about 20 times."""
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
    context: Context = {}
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
    scenarios: dict[Name, Scenario] = {}
    """Further lists for every user, by names of your own, such as `{cart: {list_length: 5}}`: those
    of `cart` lie in the folder `cart` of the version. The lists of `score` itself are made too."""
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
        _refuse_sources(channels or {})
        if len(channels or {}) > MOST_CHANNELS:
            raise ValueError(f"there are more than {MOST_CHANNELS} channels; name fewer")
        return channels

    @field_validator("scenarios")
    @classmethod
    def _scenarios_have_folders_of_their_own(
        cls, scenarios: dict[str, Scenario]
    ) -> dict[str, Scenario]:
        _refuse_sources(scenarios)
        folders = {SIMILAR_ITEMS: "the lists of items", AUDIENCES: "the audiences"}
        for name in scenarios:
            other = folders.setdefault(name.lower(), name)
            if other != name:
                raise ValueError(f"{name!r} has the folder of {other}; choose another name")
        return scenarios

    @model_validator(mode="after")
    def _chooses_from_the_catalogue(self) -> "Score":
        given = self.diversity
        if given is not None and given.among < self.list_length:
            raise ValueError(
                f"diversity.among={given.among} is below list_length={self.list_length}; raise it"
            )
        for name in ("diversity", "exploration"):
            if getattr(self, name) is not None and self.candidates is not None:
                raise ValueError(
                    f"{name} and candidates are both set, but {name} acts on the lists of the main "
                    "model alone; remove one (in a scenario, weight: 0 and share: 0 turn them off)"
                )
        return self

    @model_validator(mode="after")
    def _fresher_table_is_used(self) -> "Score":
        kinds: list[Scenario | Score] = [self, *self.scenarios.values()]
        used: list[Any] = [getattr(self.similar_items, "rules", None)]
        used += [one for kind in kinds for one in (kind.rules, kind.diversity, kind.exploration)]
        used += [one.where for one in self.audiences.values()]
        if self.items_now is not None and all(one is None for one in used):
            raise ValueError("items_now is set, but nothing uses it; set rules, or leave it out")
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
            if pin.position in taken:
                raise ValueError(
                    f"rules.pins.{taken[pin.position]} has no where, but rules.pins.{name} has the "
                    "same position: all but the last of them need one"
                )
            if pin.where is None:
                taken[pin.position] = name
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

    def of_scenario(self, name: str) -> "Score":
        """Return the section as it is for the lists of a scenario.

        Raises:
            ValidationError: When a key of the scenario breaks a rule of this section.
        """
        return Score.model_validate(self.scenarios[name].over(self))

    @property
    def sections(self) -> dict[str | None, "Score"]:
        """Return the section of each kind of lists, by its scenario; None: the default lists."""
        return {None: self, **{name: self.of_scenario(name) for name in self.scenarios}}

    @property
    def of_similar_items(self) -> "Score | None":
        """Return the section as it is for lists of items with rules of their own; None: without."""
        own = self.similar_items
        if own is None or own.rules is None:
            return None
        now = None if own.rules == ListRules() else self.items_now
        return self.model_copy(
            update={
                "rules": own.rules, "drop_seen": True, "list_length": own.count, "items_now": now,
                "candidates": None, "scenarios": {}, "diversity": None, "exploration": None,
            }
        )  # fmt: skip

    @property
    def trained_channels(self) -> dict[str, Channel]:
        """Return the channels of all lists whose source is a trained model, by name."""
        candidates = [self.candidates, *(one.candidates for one in self.scenarios.values())]
        return {
            name: channel
            for channels in candidates
            for name, channel in (channels or {}).items()
            if channel.source in TRAINED
        }

    @property
    def explores(self) -> bool:
        """Return whether some of the lists have items drawn at random."""
        return any(one.exploration is not None for one in self.sections.values())

    @property
    def has_candidates(self) -> bool:
        """Return whether some of the lists are made of candidates."""
        own = any(scenario.candidates for scenario in self.scenarios.values())
        return own or self.candidates is not None

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
