"""The rules of `score.candidates`: what a channel needs of the other sections."""

from collections.abc import Iterator

from conf.settings.candidates import Channel
from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.rules.training import unfit_for_recency
from conf.settings.score import Score
from conf.settings.train import Train


def broken_candidate_rules(given: Input, etl: Etl, train: Train, score: Score) -> list[str]:
    """Return a message for each broken rule of `score.candidates`."""
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
    return found


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
