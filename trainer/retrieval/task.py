"""The training of a network that scores the whole catalogue."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    NUM_RESERVED,
    USER_IDX,
    RowGroup,
    catalogue_size,
)
from trainer.data.batches import block_batches
from trainer.data.columns import Columns, lists_of
from trainer.data.event_features import event_fields, has_confidences
from trainer.data.feature_tables import field_columns
from trainer.data.item_features import read_content
from trainer.data.plan import Round
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import (
    COLUMNS,
    count_windows,
    histories_end,
    item_events,
    read_train_events,
    windows_of,
)
from trainer.evaluation.figures import count_ranks
from trainer.evaluation.held_out import columns_of
from trainer.evaluation.metrics import figure
from trainer.models.bundle import build_model, model_section
from trainer.models.scorer import ModelScorer
from trainer.networks.fields import FieldSpec
from trainer.networks.inputs import TrainBatch
from trainer.networks.objective import TrainingObjective, item_sampling
from trainer.networks.retrieval import RetrievalModel
from trainer.retrieval.warm_start import take_up
from trainer.training.job import TrainingJob, build_optimizer, sum_over_ranks, wrapped_objective
from trainer.training.learner import Cursor, Learner


class RetrievalTask:
    """See `trainer.training.job.Task`."""

    part: str = "train"

    def columns(self, job: TrainingJob) -> Sequence[str]:
        """Return the columns of histories and event weights, and of the model's other inputs."""
        model = job.config.train.model
        takes_context = model.event_types or model.time_gaps or model.calendar
        context = (HISTORY_TYPES, HISTORY_TIMES) if takes_context else ()
        features = field_columns(self.fields(job), job.manifest, self.part)
        return (HISTORY_ITEMS, HISTORY_WEIGHTS, *context, *features)

    def planned(self, job: TrainingJob) -> list[RowGroup]:
        """Return the row groups of the training part."""
        return job.train_groups

    def fields(self, job: TrainingJob) -> tuple[FieldSpec, ...]:
        """Return the event features that the model uses."""
        return event_fields(job.config.train.model.event_features, job.manifest)

    def learner(self, job: TrainingJob) -> Learner:
        """Return model, loss and optimiser, initialised from the seed or the warm-start model."""
        objective = build_objective(job, self.item_events(job)).to(job.device)
        optimizer = build_optimizer(job, objective.model)
        if job.config.train.warm_start.model is not None:
            take_up(job.work, objective.model, optimizer)
        return Learner(
            objective=wrapped_objective(job, objective),
            model=objective.model,
            optimizer=optimizer,
            best={},
            saves_state=job.config.train.save_optimizer,
        )

    def item_events(self, job: TrainingJob) -> Tensor:
        """Return how often each item occurs in the training data: [V] int64."""
        return torch.from_numpy(read_train_events(job.dataset, job.manifest))

    def prepared(self, job: TrainingJob, columns: Columns) -> Columns:
        """Return the rows unchanged."""
        return columns

    def num_rows(self, columns: Columns) -> int:
        """Return the number of windows."""
        return len(lists_of(columns, HISTORY_ITEMS).lengths)

    def batches(
        self, job: TrainingJob, cursor: Cursor, part: Round, columns: Columns
    ) -> Iterator[TrainBatch]:
        """Yield this rank's rows of a round in batches of similar length."""
        seed = (job.config.run.seed, cursor.epoch, part.groups_done)
        yield from block_batches(
            columns,
            steps=part.steps,
            max_length=job.config.train.model.history_length,
            row_seed=(*seed, job.rank),
            order_seed=(*seed, job.world_size),
            fields=self.fields(job),
        )

    def empty_batch(self, job: TrainingJob) -> TrainBatch:
        """Return a batch without rows."""
        empty = torch.zeros((0, 1), dtype=torch.int64)
        return TrainBatch(empty, empty, empty.float())

    def validate(self, job: TrainingJob, learner: Learner) -> float | None:
        """Return `train.metric` over the validation part."""
        train = job.config.train
        groups = job.manifest.row_groups("valid")[job.rank :: job.world_size]
        wanted = columns_of(job.manifest, "valid")
        blocks = (columns for _, columns in read_row_groups(job.dataset, groups, wanted))
        largest = int(train.metric.partition("@")[2])
        assert isinstance(learner.model, RetrievalModel)
        scorer = ModelScorer(learner.model, job.device)
        counts = count_ranks(
            scorer,
            blocks,
            batch_rows=train.eval_batch_rows,
            largest=largest,
            drop_seen=job.config.score.drop_seen,
        )
        everywhere = sum_over_ranks(job, torch.from_numpy(counts).to(job.device))
        return figure(everywhere.cpu().numpy(), train.metric)


class RefitTask(RetrievalTask):
    """`RetrievalTask` on whole histories, for a given number of epochs."""

    part: str = "histories"

    def __init__(self) -> None:
        self._known: dict[Path, np.ndarray] = {}
        self._planned: dict[Path, list[RowGroup]] = {}

    def columns(self, job: TrainingJob) -> Sequence[str]:
        """Return the columns that windows are cut from."""
        confidences = (HISTORY_WEIGHTS,) if has_confidences(job.manifest) else ()
        features = field_columns(self.fields(job), job.manifest, self.part)
        return (*COLUMNS, *confidences, *features)

    def planned(self, job: TrainingJob) -> list[RowGroup]:
        """Return the row groups of the histories, each with its number of windows."""
        if job.dataset not in self._planned:
            blocks = read_row_groups(job.dataset, job.train_groups, (USER_IDX, HISTORY_ITEMS))
            ends = self._ends(job)
            planned = [
                group.model_copy(update={"rows": count_windows(columns, job.manifest, ends)})
                for group, columns in blocks
            ]
            self._planned = {job.dataset: planned}
        return self._planned[job.dataset]

    def prepared(self, job: TrainingJob, columns: Columns) -> Columns:
        """Return the windows of the histories, up to the test part unless it is trained on too."""
        cut = windows_of(columns, job.manifest, self._ends(job))
        return {name: cut[name] for name in super().columns(job)}

    def item_events(self, job: TrainingJob) -> Tensor:
        """Return how often each item occurs in the training data: [V] int64."""
        return torch.from_numpy(item_events(job.dataset, job.manifest, self._ends(job)))

    def validate(self, job: TrainingJob, learner: Learner) -> None:
        """Measure nothing: the validation part was trained on."""

    def _ends(self, job: TrainingJob) -> np.ndarray:
        if job.dataset not in self._known:
            ends = histories_end(job.dataset, job.manifest, job.config.train.refit)
            self._known = {job.dataset: ends}
        return self._known[job.dataset]


def build_objective(job: TrainingJob, events: Tensor) -> TrainingObjective:
    """Return the model with its loss, initialised from the run's seed alone.

    Args:
        job: The training.
        events: [V] how often each item occurs in the training data.
    """
    torch.manual_seed(job.config.run.seed)
    train = job.config.train
    model = build_model(model_section(job.config, job.manifest), catalogue_size(job.manifest))
    is_alone = job.world_size == 1 or job.device.type == "cpu"  # NCCL cannot sum sparse tensors
    is_by_row = train.optimizer.embeddings != "same" and train.loss.kind != "cross_entropy"
    model.items.embedding.sparse = is_by_row and is_alone
    features = read_content(train.model.content, job.dataset, job.manifest)
    model.items.set_catalogue(events, features)
    candidates = None
    if model.items.has_untrained:
        candidates = events[NUM_RESERVED:].nonzero()[:, 0] + NUM_RESERVED
    sampling = train.loss.sampling
    probability = None
    if (train.loss.kind == "sampled_softmax" and sampling != "uniform") or sampling == "popularity":
        probability = item_sampling(events)
    return TrainingObjective(
        model, **train.loss.model_dump(), item_probability=probability, candidates=candidates
    )
