"""What holds of the events' fields that histories tell and a network takes."""

from collections.abc import Iterator

from conf.contract import PRESENT_SUFFIX
from conf.etl_schema import Etl
from conf.feature_schema import Tags, Text, Vector
from conf.train_schema import Train


def broken_history_rules(etl: Etl, train: Train) -> list[str]:
    """Return what is wrong, each with key, value and rule."""
    return [*_about_history_features(etl), *_about_event_features(etl, train)]


def _about_history_features(etl: Etl) -> Iterator[str]:
    encodings, names = etl.features.events.encodings, etl.history_features
    key = "etl.history_features"
    for place, name in enumerate(names):
        encoding = encodings.get(name)
        if encoding is None:
            yield (
                f"{key}: {name!r} is none of etl.features.events.encodings, which has "
                f"{', '.join(encodings) or 'none'}; say there how the field becomes a number"
            )
        elif isinstance(encoding, Tags | Text | Vector):
            yield (
                f"{key}: {name!r} is encoded as {encoding.kind}, which is several numbers of one "
                "event; a history takes one: categorical, hashed, bucketed or numeric"
            )
        if name in names[:place]:
            yield f"{key} has {name!r} twice; name it once"
        if f"{name}{PRESENT_SUFFIX}" in names:
            yield (
                f"{key}: {name + PRESENT_SUFFIX!r} is what the mask of {name!r} is called; give "
                "the field another name in input.events.*.fields"
            )


def _about_event_features(etl: Etl, train: Train) -> Iterator[str]:
    wanted, known = train.model.event_features, etl.history_features
    if wanted != "none" and not known:
        yield (
            f"train.model.event_features={wanted!r}, but etl.history_features is empty; name "
            "there the events' fields that histories tell"
        )
    elif not isinstance(wanted, str):
        odd = [name for name in wanted if name not in known]
        if len(set(wanted)) < len(wanted):
            yield f"train.model.event_features={list(wanted)} names one twice; name it once"
        if odd:
            yield (
                f"train.model.event_features: {', '.join(odd)} is none of etl.history_features: "
                f"{', '.join(known)}"
            )
