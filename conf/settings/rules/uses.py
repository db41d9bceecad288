"""Which kind of model uses which key of `train`: one table, for warnings, refusals and the manual.

A key that no model of a run uses is warned of if the configuration sets it to another value than
its default. `tests/trainer/test_uses.py` trains each kind of model and changes every key, to show
that the table is true.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from conf.settings.choosing import Compare, Tune, section_of_model
from conf.settings.counting import CountingName
from conf.settings.rules.roles import of_ranker
from conf.settings.section import Section
from conf.settings.train import Train

if TYPE_CHECKING:
    from conf.settings.config import Config

COUNTING = frozenset(get_args(CountingName))
NEURAL, RANKING, HYBRID = frozenset({"neural"}), frozenset({"ranking"}), frozenset({"hybrid"})
NETWORKS = NEURAL | RANKING
CATALOGUE = NEURAL | HYBRID | COUNTING
EVERY = CATALOGUE | RANKING
KINDS = ("neural", "ranking", "hybrid", *get_args(CountingName))
"""Kinds of model, in the order of messages and the manual."""


log = logging.getLogger(__name__)


class Condition(NamedTuple):
    """What must be so, besides the kind of model, for a key to have an effect."""

    text: str
    """For messages and the manual."""
    key: str
    """Key below `train` that decides."""
    holds: Callable[[Any], bool]
    """Takes the value of that key."""


class Use(NamedTuple):
    """Who uses some keys."""

    keys: tuple[str, ...]
    """Below `train`; a section stands for all keys in it that no other entry names."""
    kinds: frozenset[str]
    """Kinds of model that use them."""
    conditions: tuple[Condition, ...] = ()
    """All must hold."""
    refused: bool = False
    """Whether the other kinds refuse the keys, see `conf/settings/rules/training.py`; otherwise
    they ignore them."""


def _with(key: str, *values: Any) -> Condition:
    named = " or ".join(str(value) for value in values)
    return Condition(f"train.{key}={named}", key, lambda value: value in values)


def _other_than(key: str, *values: Any) -> Condition:
    named = " or ".join("null" if value is None else str(value) for value in values)
    return Condition(f"train.{key} other than {named}", key, lambda value: value not in values)


_DRAWS = _other_than("loss.kind", "cross_entropy")
_FROM_OLDER = _other_than("warm_start.model", None)
_SEVERAL = Condition("several train.ranking.labels", "ranking.labels", lambda own: len(own) > 1)
_DEEP = _other_than("ranking.interaction", "linear")
_FINAL = _with("ranking.interaction", "finalmlp")
_ATTENDS = _with("model.encoder", "attention", "bidirectional")
_ADAM = _with("optimizer.kind", "adamw", "adam")
_PLATEAU = _with("optimizer.decay", "plateau")
_CONTENT = _other_than("model.content.features", "none")


def _keys(text: str, section: str = "") -> tuple[str, ...]:
    return tuple(section + key for key in text.split())


USES = (
    Use(_keys("algorithm workers max_workers cpus_per_worker gpus_per_worker metric"), EVERY),
    Use(_keys("eval_batch_rows gate"), EVERY),
    Use(_keys("auto.max_minutes"), EVERY, (_with("algorithm", "auto"),)),
    Use(_keys("metrics_at baselines"), CATALOGUE),
    Use(_keys("refit"), CATALOGUE, refused=True),
    Use(_keys("epochs batch_rows shuffle_block_rows stream_threads precision"), NETWORKS),
    Use(_keys("patience_epochs checkpoint_every_rounds max_failures"), NETWORKS),
    Use(_keys("collective_timeout_seconds"), NETWORKS),
    Use(_keys("hybrid"), HYBRID),
    Use(_keys("model"), NEURAL),
    Use(
        _keys("model.blocks"),
        NEURAL,
        (_with("model.encoder", "attention", "bidirectional", "gru", "cnn"),),
    ),
    Use(_keys("heads feedforward_factor positions gated", "model."), NEURAL, (_ATTENDS,)),
    Use(_keys("kernel_size dilations", "model."), NEURAL, (_with("model.encoder", "cnn"),)),
    Use(
        _keys("window vertical_filters horizontal_filters", "model."),
        NEURAL,
        (_with("model.encoder", "caser"),),
    ),
    Use(_keys("model.mask_share"), NEURAL, (_with("model.encoder", "bidirectional"),)),
    Use(_keys("model.init_std"), NEURAL, (_with("model.init", "normal"),)),
    Use(_keys("model.content.dropout model.content.id_dropout"), NEURAL, (_CONTENT,)),
    Use(_keys("loss.kind"), NEURAL),
    Use(_keys("loss.sampling"), NEURAL, (_DRAWS,)),
    Use(
        _keys("loss.num_negatives loss.negatives_for"),
        NEURAL,
        (_DRAWS, _other_than("loss.sampling", "in_batch")),
    ),
    Use(_keys("loss.calibration"), NEURAL, (_with("loss.kind", "gbce"),)),
    Use(_keys("optimizer"), NETWORKS),
    Use(
        _keys("optimizer.decay_all"),
        NETWORKS,
        (Condition("train.optimizer.weight_decay above 0", "optimizer.weight_decay", bool),),
    ),
    Use(_keys("optimizer.betas"), NETWORKS, (_ADAM,)),
    Use(_keys("optimizer.momentum"), NETWORKS, (_with("optimizer.kind", "sgd"),)),
    Use(
        _keys("optimizer.embedding_learning_rate"),
        NETWORKS,
        (_with("optimizer.embeddings", "rowwise_adagrad"),),
    ),
    Use(
        _keys("optimizer.warmup_steps"),
        NETWORKS,
        (_with("warm_start.model", None)._replace(text="train.warm_start.model=null"),),
    ),
    Use(_keys("optimizer.plateau_factor optimizer.plateau_epochs"), NETWORKS, (_PLATEAU,)),
    Use(_keys("warm_start.model save_optimizer"), NEURAL, refused=True),
    Use(_keys("new_items keep_optimizer warmup_steps", "warm_start."), NEURAL, (_FROM_OLDER,)),
    Use(
        _keys("warm_start.neighbour_distance"),
        NEURAL,
        (_FROM_OLDER, _with("warm_start.new_items", "similar")),
    ),
    *(
        Use(_keys(f"counting.{name}"), frozenset({name}))
        for name in ("recent_popularity", "item_knn", "ease", "als")
    ),
    Use(_keys("ranking"), RANKING),
    Use(_keys("width hidden dropout batch_norm", "ranking."), RANKING, (_DEEP,)),
    Use(_keys("second_hidden heads gate_width", "ranking."), RANKING, (_FINAL,)),
    Use(_keys("ranking.cross_layers"), RANKING, (_with("ranking.interaction", "dcnv2"),)),
    Use(_keys("ranking.history_length"), RANKING, (_other_than("ranking.history", "none"),)),
    Use(
        _keys("ranking.attention_width"),
        RANKING,
        (_with("ranking.history", "target_attention"),),
    ),
    Use(_keys("ranking.multi_task ranking.tower_hidden"), RANKING, (_SEVERAL,)),
    Use(_keys("ranking.experts"), RANKING, (_SEVERAL, _with("ranking.multi_task", "mmoe"))),
    Use(
        _keys("ranking.item_rate_prior_rows"),
        RANKING,
        (
            Condition(
                "item_rate in train.ranking.baselines",
                "ranking.baselines",
                lambda own: "item_rate" in own,
            ),
        ),
    ),
)
"""Every key of `train`."""
_BY_KEY: Mapping[str, Use] = {key: use for use in USES for key in use.keys}


def use_of(key: str) -> Use | None:
    """Return the entry of a key below `train`; None if there is none."""
    found, section = _BY_KEY.get(key), key
    while found is None and "." in section:
        section = section.rpartition(".")[0]
        found = _BY_KEY.get(section)
    return found


def value_at(train: Train, key: str) -> Any:
    """Return the value of a dotted key below `train`."""
    return reduce(getattr, key.split("."), train)


def kinds_of(train: Train) -> frozenset[str]:
    """Return the kinds of model that a run fits, baselines and members included."""
    if train.algorithm not in EVERY:
        return EVERY  # it may become any of them
    if train.algorithm == "ranking":
        return RANKING
    kinds = frozenset((train.algorithm, *train.members))
    # A network that exists already is used as it is.
    return kinds - NEURAL if train.algorithm == "hybrid" and train.hybrid.neural else kinds


def without_effect(key: str, train: Train, varied: frozenset[str] = frozenset()) -> str | None:
    """Return why a key below `train` has no effect; None if it has one.

    Args:
        key: The dotted key.
        train: The section.
        varied: Keys below `train` that may have other values too.
    """
    use = use_of(key)
    if use is None:
        return None
    if not use.kinds & kinds_of(train):
        return f"used only by {_named(use.kinds)}"
    missing = [
        condition.text
        for condition in use.conditions
        if condition.key not in varied and not condition.holds(value_at(train, condition.key))
    ]
    return f"needs {' and '.join(missing)}" if missing else None


def warn_of_settings(config: "Config") -> None:
    """Log a warning for each setting without an effect, and for lengths that do not fit."""
    for text in (*useless_keys(config), *_about_lengths(config), *_about_ranker(config)):
        log.warning("config: %s", text)


def _about_ranker(config: "Config") -> Iterator[str]:
    """Yield a message for each setting of the section `ranker` without an effect."""
    if config.ranker is None:
        return
    if not config.score.has_candidates:
        yield "ranker orders no list, as score.candidates is null; name channels there"
    alone = {"train": config.ranker, "compare": Compare(), "tune": Tune()}
    for text in useless_keys(config.model_copy(update=alone)):
        yield of_ranker(text)


def _about_lengths(config: "Config") -> Iterator[str]:
    """Yield a message if training rows do not fit the length that the network sees."""
    window, model = config.etl.window_length, config.train.model
    learns_positions = _ATTENDS.holds(model.encoder) and model.positions == "learned"
    if not NEURAL & kinds_of(config.train):
        return
    if model.history_length < window:
        what = "the older targets of each training row are not trained"
    elif model.history_length > window and learns_positions:
        what = "the positions of older events are never trained"
    else:
        return
    yield (
        f"etl.window_length={window} and train.model.history_length={model.history_length} differ, "
        f"so {what}; set both to the same number"
    )


def useless_keys(config: "Config") -> list[str]:
    """Return a message for each reason for which keys of `train` that are set have no effect.

    Only keys that the configuration sets, to another value than the default, are named. Those of
    `compare.models` are compared with their own model.
    """
    train, varied = config.train, frozenset(config.tune.space)
    variants = [section_of_model(train, changes) for changes in config.compare.models.values()]
    algorithms = config.tune.space.get("algorithm")
    variants += [
        train.model_copy(update={"algorithm": name})
        for name in (() if algorithms is None else algorithms.choice or ())
    ]
    found: dict[str, list[str]] = {}
    for key in _set_keys(train):
        reasons = [without_effect(key, one, varied) for one in (train, *variants)]
        if all(reasons):
            found.setdefault(str(reasons[0]), []).append(f"train.{key}")
    for (name, changes), variant in zip(config.compare.models.items(), variants, strict=False):
        for key in _leaves(changes):
            reason = without_effect(key, variant)
            if reason is not None:
                found.setdefault(reason, []).append(f"compare.models.{name}.{key}")
    return [
        f"{', '.join(keys)} {'has' if len(keys) == 1 else 'have'} no effect: {reason}"
        for reason, keys in found.items()
    ]


def _set_keys(section: Section, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys that were set to another value than the default."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name not in section.model_fields_set:
            continue
        if isinstance(value, Section):
            yield from _set_keys(value, f"{prefix}{name}.")
        elif value != field.get_default(call_default_factory=True):
            yield prefix + name


def _leaves(changes: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in changes.items():
        if isinstance(value, Mapping) and name != "labels":
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _named(kinds: frozenset[str]) -> str:
    return ", ".join(name for name in KINDS if name in kinds)
