"""The rules of the section `train`, and those between it, `input` and `etl`."""

from collections.abc import Iterator

from conf.contract import PRESENT_SUFFIX
from conf.settings.etl import Etl
from conf.settings.features import (
    Impressions,
    Tags,
    Text,
    Vector,
)
from conf.settings.input import Input
from conf.settings.model import RANKING_METRICS, Ranking
from conf.settings.train import Train


def broken_train_rules(given: Input, etl: Etl, train: Train) -> Iterator[str]:
    """Yield a message for each broken rule of `train`, and between it and other sections."""
    yield from _about_workers(train)
    yield from _about_recency(given, etl, train)
    yield from _about_network(given, train)
    yield from _about_content(etl, train)
    yield from _about_histories(etl, train)
    yield from _about_start(train)
    yield from _about_ranking(etl, train)


def _about_ranking(etl: Etl, train: Train) -> Iterator[str]:
    if train.algorithm != "ranking":
        if train.metric in RANKING_METRICS:
            yield (
                f"train.metric={train.metric!r} is a figure of ranking models, but "
                f"train.algorithm is {train.algorithm!r}; use one such as ndcg@10"
            )
        return
    if etl.impressions is None:
        yield (
            "train.algorithm is 'ranking', but etl.impressions is null; set it to the events that "
            "are labels, as in {labels: {bought: [purchase]}}"
        )
        return
    yield from _about_labels(etl.impressions, train.ranking)
    yield from _about_metric(train)
    yield from _about_sampling(etl.impressions, train.ranking)
    if train.refit != "none":
        yield (
            f"train.refit={train.refit!r}, but train.algorithm is 'ranking', which has no second "
            "training; use none"
        )


def _about_labels(impressions: Impressions, ranking: Ranking) -> Iterator[str]:
    for name in ranking.labels:
        if name not in impressions.labels:
            yield (
                f"train.ranking.labels.{name} is not a label of etl.impressions: "
                f"{', '.join(impressions.labels)}"
            )


def _about_metric(train: Train) -> Iterator[str]:
    mse = train.ranking.loss == "mse"
    fitting = ("rmse",) if mse else RANKING_METRICS
    if train.metric not in fitting:
        yield (
            f"train.metric={train.metric!r} does not fit train.algorithm='ranking' with "
            f"train.ranking.loss={train.ranking.loss!r}; use {' or '.join(fitting)}"
        )
    if mse and train.ranking.calibration != "none":
        yield (
            f"train.ranking.calibration={train.ranking.calibration!r} maps probabilities, but "
            "train.ranking.loss is 'mse'; use none"
        )


def _about_sampling(impressions: Impressions, ranking: Ranking) -> Iterator[str]:
    if ranking.sampling != "logit":
        return
    if ranking.loss == "mse":
        yield "train.ranking.sampling is 'logit', but train.ranking.loss 'mse' has none; use weight"
    if impressions.negatives == "session":
        yield (
            "train.ranking.sampling is 'logit', but etl.impressions.negatives is 'session': the "
            "chance that a positive's own item is drawn is not known; use weight"
        )


def _about_histories(etl: Etl, train: Train) -> list[str]:
    return [*_about_history_features(etl), *_about_event_features(etl, train)]


def _about_history_features(etl: Etl) -> Iterator[str]:
    encodings, names = etl.features.events.encodings, etl.history_features
    key = "etl.history_features"
    for place, name in enumerate(names):
        encoding = encodings.get(name)
        if encoding is None:
            yield (
                f"{key}: {name!r} is not in etl.features.events.encodings, which has "
                f"{', '.join(encodings) or 'none'}; add an encoding for the field there"
            )
        elif isinstance(encoding, Tags | Text | Vector):
            yield (
                f"{key}: {name!r} is encoded as {encoding.kind}, which gives several numbers per "
                "event; a history takes one: use categorical, hashed, bucketed or numeric"
            )
        if name in names[:place]:
            yield f"{key} has {name!r} twice; name it once"
        if f"{name}{PRESENT_SUFFIX}" in names:
            yield (
                f"{key}: {name + PRESENT_SUFFIX!r} is the name of the mask of {name!r}; give "
                "the field another name in input.events.*.fields"
            )


def _about_event_features(etl: Etl, train: Train) -> Iterator[str]:
    wanted, known = train.model.event_features, etl.history_features
    if wanted != "none" and not known:
        yield (
            f"train.model.event_features={wanted!r}, but etl.history_features is empty; list "
            "the fields of the events there"
        )
    elif not isinstance(wanted, str):
        odd = [name for name in wanted if name not in known]
        if len(set(wanted)) < len(wanted):
            yield f"train.model.event_features={list(wanted)} names one twice; name it once"
        if odd:
            yield (
                f"train.model.event_features: {', '.join(odd)} is not in etl.history_features: "
                f"{', '.join(known)}"
            )


def _about_workers(train: Train) -> Iterator[str]:
    if train.workers > train.max_workers:
        yield (
            f"train.workers={train.workers} is above train.max_workers={train.max_workers}; "
            "raise train.max_workers"
        )


def _about_network(given: Input, train: Train) -> Iterator[str]:
    for key in ("time_gaps", "calendar"):
        if getattr(train.model, key) and not given.is_dated:
            yield (
                f"train.model.{key} needs the time of each event, but the time_unit of "
                "input.events is 'order'; set it to false"
            )
    if train.algorithm == "auto" and train.hybrid.neural:
        yield (
            f"train.hybrid.neural={train.hybrid.neural} names a network for the algorithm hybrid, "
            "but train.algorithm is 'auto', which trains its own; set the first to null or the "
            "second to hybrid"
        )
    if train.refit != "none" and train.algorithm == "hybrid" and train.hybrid.neural:
        yield (
            f"train.hybrid.neural={train.hybrid.neural} is a network that is trained already, but "
            f"train.refit={train.refit!r} trains all members again; set the first to null or the "
            "second to none"
        )


def _about_content(etl: Etl, train: Train) -> Iterator[str]:
    wanted, encodings = train.model.content.features, etl.features.items
    known = [f"item_{name}" for name in (*encodings.encodings, *encodings.crosses)]
    twice = [] if isinstance(wanted, str) else [n for n in set(wanted) if wanted.count(n) > 1]
    if not wanted:
        yield "train.model.content.features is []; write none, all, or the features' names"
    if twice:
        yield f"train.model.content.features names {', '.join(sorted(twice))} twice; name it once"
    if wanted != "none" and not known:
        yield (
            f"train.model.content.features={wanted!r}, but etl.features.items.encodings is empty; "
            "add encodings for the fields of input.items there"
        )
    elif not isinstance(wanted, str) and set(wanted) - set(known):
        yield (
            f"train.model.content.features: {', '.join(sorted(set(wanted) - set(known)))} is not a "
            f"feature of etl.features.items, which makes {', '.join(known)}"
        )


def _about_start(train: Train) -> Iterator[str]:
    if train.warm_start.model == "current" and train.refit != "none":
        yield (
            f"train.warm_start.model='current' with train.refit={train.refit!r}: the next training "
            "would start from a model that has seen its held-out events; set the first to null or "
            "the second to none"
        )
    for key, value in (
        ("warm_start.model", train.warm_start.model),
        ("save_optimizer", train.save_optimizer),
    ):
        if value and train.algorithm != "neural":
            yield (
                f"train.{key}={value} is only for train.algorithm='neural', but train.algorithm is "
                f"{train.algorithm!r}; leave it out, or name that algorithm"
            )


def _about_recency(given: Input, etl: Etl, train: Train) -> Iterator[str]:
    if "recent_popularity" in train.members:
        where = "recent_popularity (train.algorithm, train.baselines or train.hybrid.members) needs"
        yield from unfit_for_recency(where, given, etl)


def unfit_for_recency(needs: str, given: Input, etl: Etl) -> Iterator[str]:
    """Yield why recent popularity cannot be counted; messages begin with `needs`."""
    if not given.is_dated:
        yield (
            f"{needs} the time of each event, but the time_unit of input.events is 'order'; "
            "use popularity instead"
        )
    if not etl.split.is_in_time_order:
        yield (
            f"{needs} a training part that ends at one time, but etl.split.kind is "
            f"{etl.split.kind!r}; use popularity instead"
        )
    if etl.windows != "all":
        yield f"{needs} every training event, but etl.windows is {etl.windows!r}; set it to all"
