"""Score whole parts of impressions, on one or several workers, with the rows in a fixed order.

Legend of shapes: N rows, T labels, V items.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from conf.contract import Manifest, RowGroup
from conf.errors import DivergedError
from conf.settings.config import Config
from trainer.cluster.shares import device_of, in_order, on_workers
from trainer.evaluation.efficiency import flop_counter
from trainer.networks.inputs import RankingBatch
from trainer.networks.ranking import RankingModel
from trainer.networks.ranking_objective import row_logits
from trainer.ranking.calibration import Calibration, sigmoid
from trainer.ranking.impressions import read_impressions, read_tables, sampling_of
from trainer.ranking.layout import TEST_PART, layout_from
from trainer.ranking.metrics import Predictions


class ScoredRows(NamedTuple):
    """Rows with their `row_logits`, which account for how negatives were drawn."""

    logits: np.ndarray
    """[N, T] float32; ratings if the loss is mse."""
    labels: np.ndarray
    """[N, T] float32"""
    users: np.ndarray
    """[N] int64"""
    items: np.ndarray
    """[N] int64"""
    weights: np.ndarray
    """[N] float32"""

    def predictions(self, label: int, predicted: np.ndarray) -> Predictions:
        """Return one label's rows with [N] predictions of them, all in float64."""
        return Predictions(
            predicted.astype(np.float64),
            self.labels[:, label].astype(np.float64),
            self.users,
            self.weights.astype(np.float64),
        )

    def of_model(
        self, label: int, *, is_rating: bool, calibration: Calibration | None = None
    ) -> Predictions:
        """Return one label's rows with the model's own predictions."""
        logits = self.logits[:, label].astype(np.float64)
        if is_rating:
            return self.predictions(label, logits)
        said = sigmoid(logits) if calibration is None else calibration.probabilities(logits)
        return self.predictions(label, said)


def score_groups(
    model: RankingModel, batches: Iterator[RankingBatch], *, batch_rows: int, device: torch.device
) -> list[ScoredRows]:
    """Return the scored rows of each row group.

    Batches never span row groups, so they are the same for any number of workers.
    """
    return [_score(model, batch, batch_rows, device) for batch in batches]


@torch.no_grad()
def _score(
    model: RankingModel, rows: RankingBatch, batch_rows: int, device: torch.device
) -> ScoredRows:
    parts: list[Tensor] = [torch.zeros(0, rows.labels.shape[1])]
    for chosen in torch.split(torch.arange(rows.num_rows), batch_rows):
        batch = RankingBatch(*(tensor.to(device) for tensor in rows.take(chosen)))
        parts.append(row_logits(model(batch).float(), batch).cpu())
    logits = torch.cat(parts)  # [N, T]
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError(
            "a score is not a number: the model has diverged; lower train.optimizer.learning_rate"
        )
    tensors = (logits, rows.labels, rows.user_idx, rows.item_idx, rows.row_weight)
    return ScoredRows(*(tensor.numpy() for tensor in tensors))


def together(groups: Sequence[ScoredRows]) -> ScoredRows:
    """Return the rows of several row groups, concatenated."""
    return ScoredRows(*(np.concatenate(column) for column in zip(*groups, strict=True)))


def gather_over_ranks(own: list[ScoredRows], world_size: int) -> ScoredRows:
    """Return the rows of all ranks in the order of the row groups, on each rank."""
    if world_size == 1:
        return together(own)
    shares: list[Any] = [None] * world_size
    dist.all_gather_object(shares, own)
    return together(in_order(shares))


def score_part(
    config: Config,
    manifest: Manifest,
    section: dict[str, Any],
    weights: dict[str, Tensor],
    part: str,
) -> tuple[ScoredRows, float]:
    """Return the rows of a part of the dataset, scored by Ray tasks, and the seconds it took.

    The seconds are those of the model alone, summed over all tasks; reading is not included.

    Args:
        config: The section `train` sets number and kind of workers.
        manifest: The dataset.
        section: See `trainer.ranking.layout.section_of`.
        weights: Weights of the model.
        part: `valid_impressions` or `test_impressions`.
    """
    shared = _Shared(config, manifest, section, weights)
    found = on_workers(config, manifest.row_groups(part), _score_share, shared)
    return together([rows for rows, _ in found]), sum(seconds for _, seconds in found)


class _Shared(NamedTuple):
    config: Config
    manifest: Manifest
    section: dict[str, Any]
    weights: dict[str, Tensor]


def _score_share(shared: _Shared, groups: Sequence[RowGroup]) -> list[tuple[ScoredRows, float]]:
    """Return the scored rows of each row group, and the seconds that scoring them took."""
    config, manifest, section, weights = shared
    device = device_of(config.train)
    model = ready_model(config, manifest, section, weights, device)
    found = []
    for batch in _batches(config, manifest, section, groups):
        started = time.perf_counter()
        rows = _score(model, batch, config.train.eval_batch_rows, device)
        found.append((rows, time.perf_counter() - started))
    return found


def ready_model(
    config: Config,
    manifest: Manifest,
    section: dict[str, Any],
    weights: dict[str, Tensor],
    device: torch.device,
) -> RankingModel:
    """Build the model of a section with its weights and feature tables, in eval mode."""
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    model = RankingModel(**section["model"])
    model.load_state_dict(weights)
    layout = layout_from(section)
    model.to(device).eval().attach(*read_tables(folder, manifest, layout), device)
    return model


def flops_of_impression(
    config: Config, manifest: Manifest, section: dict[str, Any], weights: dict[str, Tensor]
) -> int | None:
    """Return the floating point operations for one impression in a batch of the test part.

    They are counted as in `trainer.evaluation.efficiency.flops_of_example`; None if there are no
    rows.
    """
    device = torch.device("cpu")
    model = ready_model(config, manifest, section, weights, device)
    groups = manifest.row_groups(TEST_PART)[:1]
    for rows in _batches(config, manifest, section, groups):
        some = rows.take(torch.arange(min(rows.num_rows, config.train.eval_batch_rows)))
        with torch.no_grad(), flop_counter() as counter:
            model(some)
        return int(counter.get_total_flops()) // max(some.num_rows, 1)
    return None


def _batches(
    config: Config, manifest: Manifest, section: dict[str, Any], groups: Sequence[RowGroup]
) -> Iterator[RankingBatch]:
    """Yield the rows of each row group as input of the model."""
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    sampling = sampling_of(folder, manifest, section["sampling"])
    return read_impressions(folder, groups, manifest, layout_from(section), sampling)
