"""The model as the lists need it: extended to the dataset's new items, and what it can recommend.

Legend of shapes: V catalogue of the dataset.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from conf.contract import Bundle, Manifest, catalogue_size
from conf.workspace.versions import read_manifest
from serving.rules.possible import Pools, recommendable
from trainer.data.item_features import extend_to
from trainer.data.trained_on import read_train_weights
from trainer.models.bundle import load_scorer
from trainer.models.hybrid import Hybrid
from trainer.models.popularity import Popularity
from trainer.models.scorer import ModelScorer, Scorer


class ListModel(NamedTuple):
    """A loaded model and the items that lists may contain."""

    bundle: Bundle
    scorer: Scorer | None
    """None: a ranking model, which scores pairs, not the catalogue."""
    num_items: int
    """Size of the model's catalogue; items with higher numbers are newer."""
    unknown: np.ndarray | None
    """[num_items] bool, see `Scorer`."""
    pools: Pools
    train_weights: np.ndarray
    """[V] float64, sum of the confidences in each item's training events in the dataset."""


def load_model(workspace: Path, model_id: str, manifest: Manifest) -> ListModel:
    """Return a committed model, which also knows those new items that it knows by their features.

    Raises:
        VersionError: When the model is damaged, or does not fit the dataset.
    """
    folder = workspace / "datasets" / manifest.id
    weights = read_train_weights(folder, manifest)
    bundle = read_manifest(workspace, "models", model_id, Bundle)
    if bundle.algorithm == "ranking":
        size = bundle.vocabularies["item"].size
        pool = recommendable(catalogue_size(manifest), size, None)
        return ListModel(bundle, None, size, None, Pools(pool, weights > 0), weights)
    bundle, scorer = load_scorer(workspace, model_id)
    num_items = bundle.vocabularies["item"].size
    if isinstance(scorer, ModelScorer):
        extend_to(scorer.model, bundle.model["content"], folder, manifest)
        num_items = scorer.model.catalogue
    unknown = scorer.unknown
    model = recommendable(catalogue_size(manifest), num_items, unknown)
    return ListModel(bundle, scorer, num_items, unknown, Pools(model, weights > 0), weights)


def is_personal(scorer: Scorer | None) -> bool:
    """Return whether the model's scores depend on the user's history."""
    if isinstance(scorer, Hybrid):
        return any(is_personal(member) for _, member in scorer.asked())
    return not isinstance(scorer, Popularity)
