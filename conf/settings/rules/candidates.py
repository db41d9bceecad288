"""The rules of `score.candidates`: what a channel needs of the other sections."""

from collections.abc import Iterator

from conf.contract import CLOCK, HOUR, WEEKDAY
from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.rules.training import unfit_for_recency
from conf.settings.score import Channel, Score
from conf.settings.train import Ranker, Train


def broken_candidate_rules(
    given: Input, etl: Etl, train: Train, ranker: Ranker | None, score: Score
) -> list[str]:
    """Return a message for each broken rule of `score.candidates` and of what orders them."""
    channels = score.candidates or {}
    found = [
        text
        for name, channel in channels.items()
        for text in _about_channel(f"score.candidates.{name}", channel, given, etl, train)
    ]
    most = sum(channel.count for channel in channels.values())
    if channels and most < score.list_length:
        found.append(
            f"score.list_length={score.list_length}, but the channels of score.candidates name "
            f"{most} items together; raise a count, or lower score.list_length"
        )
    return [*found, *_about_ranker(given, etl, train, ranker, score)]


def _about_ranker(
    given: Input, etl: Etl, train: Train, ranker: Ranker | None, score: Score
) -> Iterator[str]:
    """Yield what the settings of the ranker's use need of the other sections."""
    own = train if train.algorithm == "ranking" else ranker
    if ranker is not None and train.algorithm == "ranking":
        yield (
            "ranker is set, but train.algorithm is 'ranking': the main model orders the candidates "
            "itself; set ranker to null, or train.algorithm to another one"
        )
    for key in ("objective", "value", "context"):
        if getattr(score, key) and own is None:
            yield f"score.{key} is for a ranker, but there is none; set the section ranker"
    if own is None or etl.impressions is None:
        return
    labels = list(own.ranking.labels) or list(etl.impressions.labels)[:1]
    for label in score.objective:
        if label not in labels:
            yield (
                f"score.objective.{label} is no label of the ranker, which learns "
                f"{', '.join(labels)}; add it to ranking.labels"
            )
    fields = {} if given.items is None else given.items.fields
    if score.value is not None and score.value not in fields:
        yield (
            f"score.value={score.value!r} is no field of input.items: "
            f"{', '.join(fields) or 'none'}; declare it in input.items.fields"
        )
    yield from _about_context(etl, score)


def _about_context(etl: Etl, score: Score) -> Iterator[str]:
    known = [*etl.features.events.encodings, HOUR, WEEKDAY]
    for name, value in score.context.items():
        if name not in known:
            yield (
                f"score.context.{name} is no field of etl.features.events.encodings, nor "
                f"{HOUR} or {WEEKDAY}: {', '.join(known)}"
            )
        elif name in CLOCK and value not in range(CLOCK[name]):
            yield (f"score.context.{name}={value!r} is no whole number from 0 to {CLOCK[name] - 1}")


def _about_channel(
    key: str, channel: Channel, given: Input, etl: Etl, train: Train
) -> Iterator[str]:
    if channel.source == "model" and train.algorithm == "ranking":
        yield (
            f"{key}.from is 'model', but train.algorithm is 'ranking', which scores no catalogue; "
            "use a counting model or popularity"
        )
    if channel.source == "recent_popularity":
        yield from unfit_for_recency(f"{key}.from=recent_popularity needs", given, etl)
    if channel.by is None:
        return
    fields = {} if given.users is None else given.users.fields
    if channel.by not in fields:
        yield (
            f"{key}.by={channel.by!r} is no field of input.users: {', '.join(fields) or 'none'}; "
            "declare it in input.users.fields"
        )
    if not etl.split.is_in_time_order or etl.windows != "all":
        yield (
            f"{key}.by={channel.by!r} counts each user's oldest events, but etl.split.kind is "
            f"{etl.split.kind!r} and etl.windows {etl.windows!r}; use a split in time order with "
            "etl.windows: all, or leave out by"
        )
