"""The configuration's section `train`: which kind of model, and its training."""

from typing import Annotated, Literal

from pydantic import Field

from conf.counting_schema import Counting, CountingName
from conf.hybrid_schema import Hybrid
from conf.model_schema import Loss, Model
from conf.optimizer_schema import Optimizer
from conf.ranking_schema import Ranking
from conf.section import Positive, Section
from conf.warm_start_schema import WarmStart

MetricName = Annotated[
    str,
    Field(pattern=r"^((hr|ndcg|mrr|map|recall|precision)@[1-9][0-9]{0,5}|auc|gauc|log_loss|rmse)$"),
]

Length = Annotated[int, Field(ge=1, le=999_999)]
"""Of a list that is looked at; memory goes with it."""


class Train(Section):
    algorithm: Literal["neural", "ranking", "hybrid", CountingName] = "neural"
    """Kind of model: a network that scores the whole catalogue, one for single impressions, a model
    that counts, or a blend."""
    workers: Positive = 1
    max_workers: Positive = 4
    """Most workers that the dataset should serve: it gets eight row groups for each."""
    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    epochs: Positive = 20
    batch_rows: Positive = 128
    """Rows of one optimiser step over all workers together."""
    shuffle_block_rows: Positive = 50_000
    """Rows of one worker that are shuffled together in memory."""
    stream_threads: Positive = 2
    """Reading threads of each worker."""
    counting: Counting = Counting()
    hybrid: Hybrid = Hybrid()
    model: Model = Model()
    loss: Loss = Loss()
    ranking: Ranking = Ranking()
    optimizer: Optimizer = Optimizer()
    warm_start: WarmStart = WarmStart()
    save_optimizer: bool = False
    """Whether the optimiser's state is saved with a network, for another training to go on from; it
    takes about twice the space of the weights."""
    refit: Literal["none", "with_valid", "everything"] = "none"
    """Whether the network that validation has chosen is trained anew, as many epochs, on more:
    with the validation part, so that the test part still measures it, or on all there is, which is
    for publishing. The figures of the first training are told in any case."""
    metric: MetricName = "ndcg@10"
    """Validation figure that chooses the weights and stops the training. Ranking models have auc,
    gauc (the mean of the users' own), log_loss and rmse."""
    patience_epochs: Positive = 5
    """Epochs without a better figure before the training stops."""
    metrics_at: Annotated[tuple[Length, ...], Field(min_length=1)] = (5, 10, 20)
    eval_batch_rows: Positive = 256
    baselines: tuple[CountingName, ...] = ("popularity", "markov")
    """Models that stand beside the trained one in its figures, fitted on the training part."""
    checkpoint_every_rounds: Positive = 1
    """Rounds (see the plan of an epoch) between two checkpoints."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Worker deaths that a run survives."""
    collective_timeout_seconds: Positive = 300

    @property
    def members(self) -> tuple[str, ...]:
        """Every kind of model that a run fits, once each."""
        own = self.hybrid.members if self.algorithm == "hybrid" else (self.algorithm,)
        return tuple(dict.fromkeys([*own, *self.baselines]))
