"""Rank the whole catalogue for every held-out event and count at which rank its item is.

Batches are cut inside a row group, the same however many workers share the work, and ranks are
counted in whole numbers: figures of several workers equal those of one to the last digit.

Legend of shapes: B rows, V catalogue, R largest rank counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import ray
import torch
from torch import Tensor

from conf.contract import HISTORY_ITEMS, TARGET_ITEM, Bundle, Manifest, RowGroup
from conf.schema import Config
from conf.train_schema import Train
from conf.workspace import read_manifest
from trainer import ranking_evaluate
from trainer.baselines import Popularity, fit_markov
from trainer.batches import history_batch
from trainer.bundle import load_bundle, require_same_vocabulary
from trainer.catalogue import read_train_events
from trainer.metrics import figures, rank_counts, target_ranks
from trainer.ray_session import ray_session, require_room
from trainer.retrieval import RetrievalModel
from trainer.stream import Columns, Ragged, read_row_groups

COLUMNS = (HISTORY_ITEMS, TARGET_ITEM)
MODEL_NAME = "model"


class Scorer(Protocol):
    """Whatever scores all items for rows of histories."""

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] scores of the chosen rows."""


class ModelScorer:
    """A retrieval model as a scorer."""

    def __init__(self, model: RetrievalModel, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device)

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float32."""
        batch = history_batch(histories, rows, self.model.history_length)
        batch = batch.to(self.device)
        scores: Tensor = self.model.encode(batch) @ self.model.item_vectors().T
        return scores


def run(config: Config, *, model_id: str) -> dict[str, Any]:
    """Measure a committed model and the baselines on the test part of its dataset."""
    workspace = Path(config.run.output)
    if read_manifest(workspace, "models", model_id, Bundle).algorithm == "ranking":
        return ranking_evaluate.run(config, model_id=model_id)
    bundle, model = load_bundle(workspace, model_id)
    manifest = read_manifest(workspace, "datasets", bundle.dataset_id, Manifest)
    require_same_vocabulary(bundle, manifest)
    with ray_session(config):
        require_room(config)
        return test_figures(config, manifest, model)


def test_figures(
    config: Config, manifest: Manifest, model: RetrievalModel, *, with_baselines: bool = True
) -> dict[str, Any]:
    """Return the test figures of a model and, where asked for, of the configured baselines."""
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    scorers: dict[str, Scorer] = {MODEL_NAME: ModelScorer(model)}
    if with_baselines:
        scorers |= fit_baselines(config.train, folder, manifest)
    counts = _count_on_workers(config.train, folder, manifest.row_groups("test"), scorers)
    users = next(int(count.sum()) for count in counts.values())
    measured = {name: figures(count, config.train.metrics_at) for name, count in counts.items()}
    return {"test": measured, "test_users": users}


def fit_baselines(train: Train, folder: Path, manifest: Manifest) -> dict[str, Scorer]:
    """Fit the configured baselines on the training part."""
    train_events = read_train_events(folder, manifest)
    fitted: dict[str, Scorer] = {}
    if "popularity" in train.baselines:
        fitted["popularity"] = Popularity(train_events)
    if "markov" in train.baselines:
        groups = read_row_groups(folder, manifest.row_groups("train"), [HISTORY_ITEMS])
        fitted["markov"] = fit_markov((columns for _, columns in groups), train_events)
    return fitted


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
        histories, targets = columns[HISTORY_ITEMS], columns[TARGET_ITEM]
        assert isinstance(histories, Ragged) and isinstance(targets, np.ndarray)
        for rows in _batches(histories, batch_rows):
            with torch.no_grad():
                scores = scorer.scores(histories, rows)  # [B, V]
                seen_rows, seen_items = _seen(histories, rows, scores.device)
                target = torch.from_numpy(targets[rows].astype(np.int64)).to(scores.device)
                counts += rank_counts(target_ranks(scores, target, seen_rows, seen_items), largest)
    return counts


def _batches(histories: Ragged, batch_rows: int) -> Iterator[np.ndarray]:
    """Yield the rows in batches of like length."""
    order = np.argsort(np.diff(histories.offsets), kind="stable")
    for start in range(0, len(order), batch_rows):
        yield order[start : start + batch_rows]


def _seen(histories: Ragged, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (row in the batch, item) of every event in the chosen histories: two [S] int64."""
    starts, ends = histories.offsets[rows], histories.offsets[rows + 1]  # [B], [B]
    lengths = ends - starts
    seen_rows = np.repeat(np.arange(len(rows)), lengths)  # [S]
    within = np.arange(len(seen_rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = histories.values[np.repeat(starts, lengths) + within].astype(np.int64)  # [S]
    return torch.from_numpy(seen_rows).to(device), torch.from_numpy(items).to(device)


class _How(NamedTuple):
    """What a worker has to know besides its share."""

    batch_rows: int
    largest: int
    threads: int
    on_gpu: bool


def _count_on_workers(
    train: Train, folder: Path, groups: Sequence[RowGroup], scorers: dict[str, Scorer]
) -> dict[str, np.ndarray]:
    shared = ray.put(scorers)
    task = ray.remote(_count_share).options(
        num_cpus=train.cpus_per_worker, num_gpus=train.gpus_per_worker, max_retries=3
    )
    how = _How(
        batch_rows=train.eval_batch_rows,
        largest=max(train.metrics_at),
        threads=train.cpus_per_worker,
        on_gpu=train.gpus_per_worker > 0,
    )
    shares = [groups[worker :: train.workers] for worker in range(train.workers)]
    parts = ray.get([task.remote(shared, folder, share, how) for share in shares])
    return {name: np.sum([part[name] for part in parts], axis=0) for name in scorers}


def _count_share(
    scorers: dict[str, Scorer],
    folder: Path,
    groups: Sequence[RowGroup],
    how: _How,
) -> dict[str, np.ndarray]:
    torch.set_num_threads(how.threads)
    device = torch.device("cuda" if how.on_gpu else "cpu")
    scorers = {
        name: ModelScorer(scorer.model, device) if isinstance(scorer, ModelScorer) else scorer
        for name, scorer in scorers.items()
    }
    counts = {name: np.zeros(how.largest + 1, dtype=np.int64) for name in scorers}
    for _, columns in read_row_groups(folder, groups, COLUMNS):
        for name, scorer in scorers.items():
            counts[name] += count_ranks(
                scorer, [columns], batch_rows=how.batch_rows, largest=how.largest
            )
    return counts
