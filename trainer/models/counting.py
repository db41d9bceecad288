"""Counting models: how each one is fitted, and how it is loaded from its bundle."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, USER_IDX, Manifest, catalogue_size
from conf.errors import ConfigError
from conf.settings.train import Train
from trainer.models.als import Factors, fit_als
from trainer.models.ease import fit_ease
from trainer.models.fit_source import FitSource, user_items
from trainer.models.item_knn import fit_item_knn
from trainer.models.item_to_item import ItemToItem
from trainer.models.markov import fit_markov
from trainer.models.popularity import Popularity, fit_recent_popularity
from trainer.models.scorer import Scorer


class CountingModel(Scorer, Protocol):
    """A scorer that is fitted without epochs."""

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors that the model is rebuilt from, together with its section."""


class _Kind(NamedTuple):
    fit: Callable[[FitSource], CountingModel]
    load: Callable[[dict[str, Any], dict[str, Tensor]], CountingModel]


def fit_counting(name: str, source: FitSource) -> CountingModel:
    """Return the model of that name, fitted to the events of the source."""
    with _torch_threads(source.threads):
        return _KINDS[name].fit(source)


def load_counting(
    name: str, section: dict[str, Any], weights: dict[str, Tensor], catalogue: int
) -> CountingModel:
    """Return the model with this section and these weights.

    Raises:
        ValueError: When they do not belong together.
        KeyError: When a setting or a tensor is missing.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = [
        n
        for n in ("train_events", "everyones", "item_factors")
        if n in shapes and shapes[n][0] != catalogue
    ]
    if wrong:
        raise ValueError(f"{wrong[0]} has {shapes[wrong[0]][0]} rows for {catalogue} items")
    return _KINDS[name].load(section, weights)


def section_of(name: str, train: Train) -> dict[str, Any]:
    """Return the settings that a model is rebuilt from."""
    if name == "popularity":
        return {}
    if name == "markov":
        return {"history_decay": 0.0}
    section: dict[str, Any] = getattr(train.counting, name).model_dump(mode="json")
    return section


def _fit_popularity(source: FitSource) -> Popularity:
    return Popularity(source.item_weights())


def _fit_recent_popularity(source: FitSource) -> Popularity:
    manifest = source.manifest
    require_times(manifest)
    return fit_recent_popularity(
        source.blocks(
            "histories", source.with_confidences((USER_IDX, HISTORY_ITEMS, HISTORY_TIMES))
        ),
        source.user_events(),
        catalogue=catalogue_size(manifest),
        half_life_days=source.train.counting.recent_popularity.half_life_days,
    )


def require_times(manifest: Manifest) -> None:
    """Refuse a dataset whose histories have no times, or do not begin with the training part."""
    logs, etl = manifest.config["input"]["events"], manifest.config["etl"]
    for name, log in logs.items():
        if log["time_unit"] == "order":
            raise ConfigError(
                f"recent_popularity needs the time of each event, but dataset {manifest.id} was "
                f"made with input.events.{name}.time_unit=order; use popularity instead"
            )
    if etl["windows"] != "all" or etl["split"]["kind"] in ("random", "given"):
        raise ConfigError(
            f"recent_popularity needs each user's oldest events for training, but dataset "
            f"{manifest.id} was made with etl.windows={etl['windows']} and etl.split.kind="
            f"{etl['split']['kind']}; use popularity instead"
        )


def _fit_markov(source: FitSource) -> ItemToItem:
    return fit_markov(source.rows(), source.item_weights())


def _fit_item_knn(source: FitSource) -> ItemToItem:
    spec = source.train.counting.item_knn
    events = source.item_weights()
    matrix = user_items(source.rows(), len(events))
    return fit_item_knn(matrix, events, **spec.model_dump())


def _fit_ease(source: FitSource) -> ItemToItem:
    spec = source.train.counting.ease
    events = source.item_weights()
    matrix = user_items(source.rows(), len(events))
    return fit_ease(matrix, events, **spec.model_dump())


def _fit_als(source: FitSource) -> Factors:
    matrix = user_items(source.rows(), catalogue_size(source.manifest))
    spec = source.train.counting.als.model_dump()
    return fit_als(matrix, **spec, seed=source.seed, threads=source.threads)


_KINDS = {
    "popularity": _Kind(_fit_popularity, Popularity.from_weights),
    "recent_popularity": _Kind(_fit_recent_popularity, Popularity.from_weights),
    "markov": _Kind(_fit_markov, ItemToItem.from_weights),
    "item_knn": _Kind(_fit_item_knn, ItemToItem.from_weights),
    "ease": _Kind(_fit_ease, ItemToItem.from_weights),
    "als": _Kind(_fit_als, Factors.from_weights),
}
COUNTING = tuple(_KINDS)
"""Names of all counting models."""


@contextmanager
def _torch_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
