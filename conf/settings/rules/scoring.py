"""The rules between the section `score` and others."""

from collections.abc import Iterator

from conf.contract import TITLE
from conf.settings.input import Input
from conf.settings.lists.diversity import VECTORS
from conf.settings.privacy import WITH_KEY, ColumnRule, Privacy
from conf.settings.score import Score
from conf.settings.train import Train


def broken_score_rules(given: Input, train: Train, privacy: Privacy, score: Score) -> Iterator[str]:
    """Yield a message for each broken rule between `score` and the other sections."""
    yield from _about_diversity(train, score)
    yield from _about_texts(given, privacy, score)


def _about_diversity(train: Train, score: Score) -> Iterator[str]:
    for name in ("diversity", "exploration"):
        if getattr(score, name) is not None and train.algorithm == "ranking":
            yield (
                f"score.{name} is set, but it acts on the lists of a model over the catalogue, not "
                f"on those of train.algorithm=ranking; set score.{name} to null, or choose another "
                "train.algorithm"
            )
    if (
        score.diversity is not None
        and score.diversity.by == VECTORS
        and train.algorithm not in ("neural", "als", "auto", "ranking")
    ):
        yield (
            f"score.diversity.by is 'vectors', but train.algorithm={train.algorithm} has no "
            "vectors of items; name a field of items, or set train.algorithm to neural or als"
        )


def _about_texts(given: Input, privacy: Privacy, score: Score) -> Iterator[str]:
    texts = score.texts
    if not texts.languages:
        for key in ("field", "file"):
            if getattr(texts, key) is not None:
                yield f"score.texts.{key} is set, but score.texts.languages is empty; name one"
        return
    title = privacy.columns.items.get(TITLE, ColumnRule()).method
    if title in WITH_KEY:
        yield (
            f"score.texts.languages: sentences name titles, but privacy.columns.items.{TITLE} has "
            f"the method {title!r}; keep or drop the titles, or ask for no sentences"
        )
    if texts.field is None:
        return
    method = privacy.columns.items.get(texts.field, ColumnRule()).method
    if method in ("drop", *WITH_KEY):
        yield (
            f"score.texts.field={texts.field!r} has the method {method!r} in "
            "privacy.columns.items, so sentences cannot name it; choose another field"
        )
    fields = {} if given.items is None else given.items.fields
    if texts.field not in fields:
        yield (
            f"score.texts.field={texts.field!r} is no field of input.items.fields: "
            f"{', '.join(fields) or 'there are none'}"
        )
