"""The rules of the section `ranker`: those of `train`, and what both sections share."""

import re
from collections.abc import Iterator

from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.rules.training import broken_train_rules
from conf.settings.train import Ranker, Train


def broken_ranker_rules(given: Input, etl: Etl, train: Train, ranker: Ranker | None) -> list[str]:
    """Return a message for each broken rule of `ranker`."""
    return [] if ranker is None else list(_broken(given, etl, train, ranker))


def _broken(given: Input, etl: Etl, train: Train, ranker: Ranker) -> Iterator[str]:
    shared = ranker.model_copy(update={"max_workers": train.max_workers})
    for text in broken_train_rules(given, etl, shared):
        yield of_ranker(text)
    if "max_workers" in ranker.written and ranker.max_workers != train.max_workers:
        yield (
            f"ranker.max_workers={ranker.max_workers}, but the dataset is made for "
            f"train.max_workers={train.max_workers}; leave it out of ranker"
        )


def of_ranker(text: str) -> str:
    """Return a message about keys of `train` as one about the same keys of `ranker`."""
    return re.sub(r"\btrain\.", "ranker.", text)
