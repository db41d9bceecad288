"""The training of a network that scores the whole catalogue."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, HISTORY_TYPES, HISTORY_WEIGHTS
from trainer.batches import block_batches
from trainer.catalogue import read_train_events
from trainer.columns import Columns, lists_of
from trainer.evaluate import count_ranks
from trainer.event_features import event_fields
from trainer.held_out import columns_of
from trainer.inputs import TrainBatch
from trainer.job import Job, build_objective, build_optimizer, sum_over_ranks, wrapped_objective
from trainer.learner import Cursor, Learner
from trainer.metrics import figure
from trainer.plan import Round
from trainer.ranking_inputs import FieldSpec
from trainer.ranking_layout import field_columns
from trainer.retrieval import RetrievalModel
from trainer.scorer import ModelScorer
from trainer.stream import read_row_groups
from trainer.warm_start import take_up


class RetrievalTask:
    """See `trainer.task.Task`."""

    part: str = "train"

    def columns(self, job: Job) -> Sequence[str]:
        """Return histories with the weights of their events, and what else the model takes."""
        model = job.config.train.model
        takes_context = model.event_types or model.time_gaps or model.calendar
        context = (HISTORY_TYPES, HISTORY_TIMES) if takes_context else ()
        features = field_columns(self.fields(job), job.manifest, self.part)
        return (HISTORY_ITEMS, HISTORY_WEIGHTS, *context, *features)

    def fields(self, job: Job) -> tuple[FieldSpec, ...]:
        """Return the features of events that the model takes."""
        return event_fields(job.config.train.model.event_features, job.manifest)

    def learner(self, job: Job) -> Learner:
        """Return model, loss and optimiser: of the run's seed alone, or of a model that was."""
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

    def item_events(self, job: Job) -> Tensor:
        """Return how often each item occurs in what is trained on: [V] int64."""
        return torch.from_numpy(read_train_events(job.dataset, job.manifest))

    def prepared(self, job: Job, columns: Columns) -> Columns:
        """Return the rows as they are."""
        return columns

    def num_rows(self, columns: Columns) -> int:
        """Return how many windows there are."""
        return len(lists_of(columns, HISTORY_ITEMS).lengths)

    def batches(
        self, job: Job, cursor: Cursor, part: Round, columns: Columns
    ) -> Iterator[TrainBatch]:
        """Yield this rank's rows of a round, of like length in each batch."""
        seed = (job.config.run.seed, cursor.epoch, part.groups_done)
        yield from block_batches(
            columns,
            steps=part.steps,
            max_length=job.config.train.model.history_length,
            row_seed=(*seed, job.rank),
            order_seed=(*seed, job.world_size),
            fields=self.fields(job),
        )

    def empty_batch(self, job: Job) -> TrainBatch:
        """Return a batch without rows."""
        empty = torch.zeros((0, 1), dtype=torch.int64)
        return TrainBatch(empty, empty, empty.float())

    def validate(self, job: Job, learner: Learner) -> float | None:
        """Return `train.metric` over the validation part."""
        train = job.config.train
        groups = job.manifest.row_groups("valid")[job.rank :: job.world_size]
        wanted = columns_of(job.manifest, "valid")
        blocks = (columns for _, columns in read_row_groups(job.dataset, groups, wanted))
        largest = int(train.metric.partition("@")[2])
        assert isinstance(learner.model, RetrievalModel)
        scorer = ModelScorer(learner.model, job.device)
        counts = count_ranks(
            scorer, blocks, batch_rows=train.eval_batch_rows, largest=largest,
            drop_seen=job.config.score.drop_seen,
        )  # fmt: skip
        everywhere = sum_over_ranks(job, torch.from_numpy(counts).to(job.device))
        return figure(everywhere.cpu().numpy(), train.metric)
