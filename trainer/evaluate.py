"""Rank the whole catalogue for every held-out event and count at which rank its item is.

Batches are cut inside a row group, the same however many workers share the work, and ranks are
counted in whole numbers: figures of several workers equal those of one to the last digit.

Legend of shapes: B rows, V catalogue, R largest rank counted.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conf.contract import Bundle, Manifest
from conf.schema import Config
from conf.workspace import read_manifest
from trainer import ranking_evaluate
from trainer.bundle import MODEL_NAME, load_scorer, require_same_vocabulary, require_unseen
from trainer.columns import Columns
from trainer.counting import Source, fit_counting
from trainer.held_out import each_row_group, held_out_batches
from trainer.hybrid import Hybrid
from trainer.metrics import figure, figures, rank_counts
from trainer.ray_session import ray_session, require_room
from trainer.scorer import Scorer


def run(config: Config, *, model_id: str) -> dict[str, Any]:
    """Measure a committed model and the baselines on the test part of its dataset."""
    workspace = Path(config.run.output)
    if read_manifest(workspace, "models", model_id, Bundle).algorithm == "ranking":
        return ranking_evaluate.run(config, model_id=model_id)
    bundle, scorer = load_scorer(workspace, model_id)
    manifest = read_manifest(workspace, "datasets", bundle.dataset_id, Manifest)
    require_same_vocabulary(bundle, manifest)
    require_unseen(bundle, "test")
    with ray_session(config):
        require_room(config)
        return test_figures(config, manifest, scorer)


def test_figures(
    config: Config, manifest: Manifest, scorer: Scorer, *, with_baselines: bool = True
) -> dict[str, Any]:
    """Return the test figures of a model, of what it is blended of, and of the baselines."""
    members = scorer.members if isinstance(scorer, Hybrid) else {}
    scorers: dict[str, Scorer] = {MODEL_NAME: scorer, **members}
    if with_baselines:
        source = source_of(config, manifest)
        missing = (name for name in config.train.baselines if name not in members)
        scorers |= {name: fit_counting(name, source) for name in missing}
    counts = count_part(config, manifest, "test", scorers, max(config.train.metrics_at))
    measured = {name: figures(count, config.train.metrics_at) for name, count in counts.items()}
    return {"test": measured, "test_users": int(counts[MODEL_NAME].sum())}


def validation_figure(config: Config, manifest: Manifest, scorer: Scorer) -> dict[str, float]:
    """Return `train.metric` of a model on the validation part; nothing where there is none."""
    if not manifest.row_groups("valid"):
        return {}
    metric = config.train.metric
    largest = int(metric.partition("@")[2])
    counts = count_part(config, manifest, "valid", {MODEL_NAME: scorer}, largest)
    return {metric: figure(counts[MODEL_NAME], metric)}


def count_part(
    config: Config, manifest: Manifest, part: str, scorers: Mapping[str, Scorer], largest: int
) -> dict[str, np.ndarray]:
    """Return how many of a held-out part's targets have which rank: [R + 1] for each scorer."""
    if not manifest.row_groups(part):
        return {name: np.zeros(largest + 1, dtype=np.int64) for name in scorers}
    count = partial(count_each, batch_rows=config.train.eval_batch_rows, largest=largest)
    counts = count_on_workers(config, manifest, part, scorers, count)
    return dict(zip(scorers, counts, strict=True))


def source_of(config: Config, manifest: Manifest) -> Source:
    """Return the training part that counting models are fitted to."""
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    return Source(config.train, config.run.seed, folder, manifest)


def count_ranks(
    scorer: Scorer, blocks: Iterable[Columns], *, batch_rows: int, largest: int
) -> np.ndarray:
    """Count the ranks of all targets in row groups of a held-out part.

    Args:
        scorer: What ranks.
        blocks: Row groups with the columns `COLUMNS`.
        batch_rows: Rows scored together.
        largest: R

    Returns:
        [R + 1] int64, place 0 counting the ranks above R.
    """
    counts = np.zeros(largest + 1, dtype=np.int64)
    for columns in blocks:
        for batch in held_out_batches(columns, batch_rows):
            with torch.no_grad():
                scores = scorer.scores(batch.histories, batch.rows)  # [B, V]
                counts += rank_counts(batch.ranks(scores), largest)
    return counts


Count = Callable[[Mapping[str, Scorer], Columns], np.ndarray]
"""Counts ranks in one row group with the columns `COLUMNS`."""


def count_on_workers(
    config: Config, manifest: Manifest, part: str, scorers: Mapping[str, Scorer], count: Count
) -> np.ndarray:
    """Return the sum of what `count` finds in each row group of a held-out part."""
    total: np.ndarray = np.sum(each_row_group(config, manifest, part, scorers, count), axis=0)
    return total


def count_each(
    scorers: Mapping[str, Scorer], columns: Columns, *, batch_rows: int, largest: int
) -> np.ndarray:
    """Count the ranks of one row group for each scorer: [scorers, R + 1]."""
    counts = [
        count_ranks(scorer, [columns], batch_rows=batch_rows, largest=largest)
        for scorer in scorers.values()
    ]
    return np.stack(counts)
