"""The training of a network that predicts the outcome of single impressions."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from conf.contract import ITEM_IDX, RowGroup
from trainer.data.columns import Columns, numbers_of
from trainer.data.plan import Round, batch_sizes
from trainer.networks.inputs import RankingBatch
from trainer.networks.ranking import RankingModel
from trainer.networks.ranking_objective import RankingObjective
from trainer.ranking.counts import count_training
from trainer.ranking.impressions import (
    Sampling,
    impressions_of,
    read_impressions,
    read_tables,
    sampling_of,
)
from trainer.ranking.layout import TRAIN_PART, VALID_PART, layout_of, section_of
from trainer.ranking.metrics import validation_figure
from trainer.ranking.scores import gather_over_ranks, score_groups
from trainer.training.job import TrainingJob, build_optimizer, wrapped_objective
from trainer.training.learner import Cursor, Learner

_FAR = 1e-4  # label means are kept at least this far from 0 and 1 for the first biases


class RankingTask:
    """See `trainer.training.job.Task`."""

    part: str = TRAIN_PART

    def columns(self, job: TrainingJob) -> Sequence[str]:
        """Return the columns of the impressions that the model reads."""
        return layout_of(job.config, job.manifest).impression_columns(job.manifest)

    def planned(self, job: TrainingJob) -> list[RowGroup]:
        """Return the row groups of the impressions."""
        return job.train_groups

    def learner(self, job: TrainingJob) -> Learner:
        """Return model, loss and optimiser, initialised from the run's seed and label means."""
        ranking, layout = job.config.train.ranking, layout_of(job.config, job.manifest)
        torch.manual_seed(job.config.run.seed)
        model = RankingModel(**section_of(job.config, job.manifest, layout)["model"])
        sampling = _sampling(job)
        counts = count_training(
            job.dataset, job.manifest, layout, sampling, is_rating=ranking.loss == "mse"
        )
        model.get_buffer("known_users").copy_(torch.from_numpy(counts.known_users))
        shift = counts.mean_over_rows(sampling.log_rate)
        model.heads.start_at(_first_biases(counts.means(), ranking.loss, shift))
        model.to(job.device).attach(*read_tables(job.dataset, job.manifest, layout), job.device)
        weights = [ranking.labels.get(label, 1.0) for label in layout.labels]
        objective = RankingObjective(
            model, loss=ranking.loss, label_weights=weights, embedding_l2=ranking.embedding_l2
        ).to(job.device)
        optimizer = build_optimizer(job, model)
        wrapped = wrapped_objective(job, objective)
        return Learner(objective=wrapped, model=model, optimizer=optimizer, best={})

    def prepared(self, job: TrainingJob, columns: Columns) -> Columns:
        """Return the rows unchanged."""
        return columns

    def num_rows(self, columns: Columns) -> int:
        """Return the number of impressions."""
        return len(numbers_of(columns, ITEM_IDX))

    def batches(
        self, job: TrainingJob, cursor: Cursor, part: Round, columns: Columns
    ) -> Iterator[RankingBatch]:
        """Yield this rank's rows of a round, shuffled."""
        rows = impressions_of(columns, layout_of(job.config, job.manifest), _sampling(job))
        seed = (job.config.run.seed, cursor.epoch, part.groups_done, job.rank)
        order = torch.from_numpy(np.random.default_rng(seed).permutation(rows.num_rows))
        for chosen in torch.split(order, batch_sizes(rows.num_rows, part.steps)):
            yield rows.take(chosen)

    def empty_batch(self, job: TrainingJob) -> RankingBatch:
        """Return a batch without rows; the objective reads nothing else of it."""
        number, scalar = torch.zeros(0, dtype=torch.int64), torch.zeros(0)
        flat, labels = torch.zeros((0, 0), dtype=torch.int32), torch.zeros((0, 1))
        return RankingBatch(
            number, number, flat, flat, flat[:, :, None], labels, labels, scalar, scalar
        )

    def validate(self, job: TrainingJob, learner: Learner) -> float | None:
        """Return `train.metric` of the first label over the validation part."""
        assert isinstance(learner.model, RankingModel)
        groups = job.manifest.row_groups(VALID_PART)[job.rank :: job.world_size]
        layout, train = layout_of(job.config, job.manifest), job.config.train
        own = score_groups(
            learner.model,
            read_impressions(job.dataset, groups, job.manifest, layout, _sampling(job)),
            batch_rows=train.eval_batch_rows,
            device=job.device,
        )
        rows = gather_over_ranks(own, job.world_size)
        said = rows.of_model(0, is_rating=train.ranking.loss == "mse")
        return validation_figure(train.metric, said)


def _sampling(job: TrainingJob) -> Sampling:
    return sampling_of(job.dataset, job.manifest, job.config.train.ranking.sampling)


def _first_biases(means: np.ndarray, loss: str, shift: float) -> Tensor:
    """Return the biases with which the untrained model predicts the label means: [T].

    Args:
        means: [T]
        loss: `bce` or `mse`.
        shift: Mean over the rows of what the loss subtracts from the logits.
    """
    values = torch.from_numpy(means).float()
    return values if loss == "mse" else torch.logit(values, eps=_FAR) + shift
