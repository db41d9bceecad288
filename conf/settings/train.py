"""The configuration's section `train`: the kind of model, and its training."""

from math import comb
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from conf.settings.counting import AboveZero, Counting, CountingName
from conf.settings.model import Loss, Model, Ranking
from conf.settings.section import Positive, Section, VersionName

MetricName = Annotated[
    str,
    Field(pattern=r"^((hr|ndcg|mrr|map|recall|precision)@[1-9][0-9]{0,5}|auc|gauc|log_loss|rmse)$"),
]
Length = Annotated[int, Field(ge=1, le=999_999)]
"""Length of a list that is measured; memory grows with it."""
MemberName = Literal["neural", CountingName]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
MOST_BLENDS = 10_000
"""Most blends of the first grid: each is ranked against the whole validation part."""


class Hybrid(Section):
    """A blend of several models; its weights are chosen on the validation part."""

    members: Annotated[tuple[MemberName, ...], Field(min_length=2)] = ("neural", "markov")
    """Models that are blended; each takes its settings from its own section."""
    neural: VersionName | None = None
    """Id of a trained neural model of the same dataset to use as it is; null: train one. Needs
    `neural` in `train.hybrid.members`, excludes `train.refit`."""
    grid_parts: Positive = 4
    """The search for the weights begins with a grid: all multiples of 1 / grid_parts that add up
    to 1. With M members these are (grid_parts + M - 1)! / grid_parts! / (M - 1)! blends, at most
    10,000."""
    halvings: Annotated[int, Field(ge=0, le=8)] = 3
    """Rounds after the grid; each halves the step and tries one step between every two members."""

    @field_validator("members")
    @classmethod
    def _each_once(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in members if members.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is listed more than once; name each once")
        return members

    @model_validator(mode="after")
    def _grid_can_be_tried(self) -> "Hybrid":
        others = len(self.members) - 1
        blends = comb(self.grid_parts + others, others)
        if blends > MOST_BLENDS:
            raise ValueError(
                f"grid_parts={self.grid_parts} makes {blends:,} blends of {others + 1} members, "
                f"but at most {MOST_BLENDS:,} are tried; lower it: halvings make the steps finer"
            )
        return self

    @model_validator(mode="after")
    def _has_use_for_neural(self) -> "Hybrid":
        if self.neural is not None and "neural" not in self.members:
            raise ValueError(
                f"neural={self.neural}, but members has no neural; add it there, or set neural=null"
            )
        return self


class Optimizer(Section):
    """Optimiser and learning rate of networks."""

    kind: Literal["adamw", "adam", "sgd", "adagrad"] = "adamw"
    """Optimiser of all weights; for embedding tables see `train.optimizer.embeddings`."""
    learning_rate: AboveZero = 1e-3
    """Learning rate after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay; decoupled from the gradient with `adamw`, else added to the gradient."""
    decay_all: bool = False
    """Whether the weight decay applies to embeddings, positions, norms and biases too."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.98)
    """Decay rates of the two moments of `adamw` and `adam`."""
    momentum: BelowOne = 0.9
    """Momentum of `sgd`."""
    embeddings: Literal["same", "rowwise_adagrad"] = "same"
    """Optimiser of the embedding tables. same: that of `train.optimizer.kind`. rowwise_adagrad:
    Adagrad with one number per row; with drawn negatives it changes only the rows of the step,
    which suits tables of millions of rows."""
    embedding_learning_rate: AboveZero | None = None
    """Learning rate of `rowwise_adagrad`; null: ten times `train.optimizer.learning_rate`."""
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """Steps in which the learning rate grows linearly to its full value. In a warm start
    `train.warm_start.warmup_steps` applies instead."""
    decay: Literal["none", "cosine", "plateau"] = "none"
    """How the learning rate falls. none: not at all. cosine: to 0 over all epochs. plateau: by
    `train.optimizer.plateau_factor` whenever the validation figure has not improved for
    `train.optimizer.plateau_epochs`."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Factor that the learning rate is multiplied by at a plateau; see `train.optimizer.decay`."""
    plateau_epochs: Positive = 2
    """Epochs without a better validation figure that make a plateau; see
    `train.optimizer.decay`."""
    clip_norm: AboveZero = 1.0
    """Largest norm of the gradient of all weights together; a larger gradient is scaled down."""
    ema_decay: BelowOne | None = None
    """Share of the moving mean of the weights that each step keeps, such as 0.99; at most
    n / (n + 9) in step n, so 0.999 takes effect only after about 9000 steps. The mean is what is
    validated and published. null: the weights without a mean."""


class WarmStart(Section):
    """Start a network from the weights of an earlier model."""

    model: VersionName | None = None
    """Id of the model to start from. current: the newest published network of another dataset
    whose logical date is not later than this dataset's, or none if there is none. null: train from
    scratch. Needs `train.algorithm: neural`; `current` excludes `train.refit`."""
    new_items: Literal["similar", "mean"] = "similar"
    """First vector of an item that the model lacks. similar: the mean of the items near it in the
    training histories, else of the items that share its categories or tags, else of all items, with
    noise of `train.model.embedding_std`. mean: always the last of these."""
    neighbour_distance: Positive = 2
    """Most steps between two events of a history whose items count as near each other; 1: only
    successive events."""
    keep_optimizer: bool = True
    """Whether the optimiser continues from its saved state. No effect if the model was trained
    without `train.save_optimizer`."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps until the full learning rate in a warm start; replaces
    `train.optimizer.warmup_steps`."""


class Auto(Section):
    """What the algorithm `auto` may take."""

    max_minutes: AboveZero = 30.0
    """Minutes for trying models, by the estimates of `headrace advise`. Models are tried from the
    simplest on; one that does not fit into what is left is not tried, and the result says so. No
    effect on `popularity`, `markov` and `train.baselines`, which are always tried."""


class Train(Section):
    """Which model is trained, on which machines, and how it is measured."""

    algorithm: Literal["auto", "neural", "ranking", "hybrid", CountingName] = "auto"
    """Kind of model. auto: several of the others are tried, and validation decides which one is
    published; `ranking` is not among them. neural: a network that scores the whole catalogue.
    ranking: a network for single impressions, which needs `etl.impressions`. hybrid: a blend of
    models. The others are counting models without a network."""
    auto: Auto = Auto()
    """What the algorithm `auto` may take."""
    workers: Positive = 1
    """Training workers; at most `train.max_workers`."""
    max_workers: Positive = 4
    """Most training workers that the dataset shall serve: the ETL writes at least eight row groups
    for each, if there are enough rows. Another number makes another dataset."""
    cpus_per_worker: Literal["auto"] | Positive = "auto"
    """CPUs of each training worker; also its number of PyTorch threads. auto: the cores of this
    machine, which its workers share evenly; on a cluster 1."""
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    """GPUs of each training worker; 0 trains on the CPU."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of training. bf16: mixed with fp32, and faster only on hardware made for it. auto:
    bf16 if the devices of all workers are made for it, else fp32; on CPUs also fp32 for networks
    that do not gain: `train.model.width` below 128, negatives drawn for each position, or
    `train.ranking.hidden` below 256. The model's figures say which one it was."""
    epochs: Positive = 20
    """Most epochs of a training; `train.patience_epochs` may end it earlier."""
    batch_rows: Positive = 128
    """Rows of one optimiser step, over all workers together."""
    shuffle_block_rows: Positive = 50_000
    """Rows that one worker shuffles together in memory."""
    stream_threads: Positive = 2
    """Threads of each worker that read the dataset."""
    counting: Counting = Counting()
    """Settings of the models that count."""
    hybrid: Hybrid = Hybrid()
    """The blend of the algorithm `hybrid`."""
    model: Model = Model()
    """The network of the algorithm `neural`."""
    loss: Loss = Loss()
    """The training loss of the algorithm `neural`."""
    ranking: Ranking = Ranking()
    """The network of the algorithm `ranking`."""
    optimizer: Optimizer = Optimizer()
    """Optimiser and learning rate of networks."""
    warm_start: WarmStart = WarmStart()
    """The model that the training of a network starts from."""
    save_optimizer: bool = False
    """Whether the optimiser's state is saved with a network, for a later warm start. It takes about
    twice the space of the weights. Needs `train.algorithm: neural`."""
    refit: Literal["none", "with_valid", "everything"] = "none"
    """Whether the model is trained again on more events after validation has chosen it; a network
    for as many epochs as were best. with_valid: with the validation part too, so the test part
    still measures it; needs the split leave_one_out or leave_last_n. everything: on all events,
    for publishing. The figures of the first training are reported in any case. Excludes
    `train.algorithm: ranking`."""
    metric: MetricName = "ndcg@10"
    """Validation figure that chooses the weights and ends the training: hr, ndcg, mrr, map, recall
    or precision with the list's length, such as `recall@20`. With `train.algorithm: ranking`: auc,
    gauc (the mean of the users' own AUC), log_loss or rmse; with `train.ranking.loss: mse` only
    rmse."""
    patience_epochs: Positive = 5
    """Epochs without a better validation figure that end the training."""
    metrics_at: Annotated[tuple[Length, ...], Field(min_length=1)] = (5, 10, 20)
    """Lengths of the lists that the test figures are computed for."""
    eval_batch_rows: Positive = 256
    """Rows that are scored together in validation and test."""
    baselines: tuple[CountingName, ...] = ("popularity", "markov")
    """Models that are fitted on the training part and reported next to the trained one. With
    `train.algorithm: ranking` see `train.ranking.baselines`."""
    gate: Literal["refuse", "warn", "none"] = "refuse"
    """What happens to a model that one of the baselines beats in `train.metric` on validation, by
    more than the noise (see `train.baselines`). refuse: it is kept, but not published, and the run
    ends with exit code 5. warn: it is published with a warning. none: no check. Not a part of a
    model's identity: another value trains nothing again."""
    checkpoint_every_rounds: Positive = 1
    """Rounds between two checkpoints. In a round each worker trains on about
    `train.shuffle_block_rows` rows."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Deaths of workers that a training survives; it continues from the newest checkpoint."""
    collective_timeout_seconds: Positive = 300
    """Seconds that a worker waits for the others before the training fails."""

    @field_validator("cpus_per_worker", mode="wrap")
    @classmethod
    def _is_auto_or_a_number(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:  # one for each type
            raise ValueError(
                f"{value!r} is neither auto nor a whole number of 1 or more"
            ) from error

    @property
    def members(self) -> tuple[str, ...]:
        """Every kind of model that a run fits, each once."""
        own = self.hybrid.members if self.algorithm == "hybrid" else (self.algorithm,)
        return tuple(dict.fromkeys([*own, *self.baselines]))


class Ranker(Train):
    """The model that orders candidates, trained after the main one on the same dataset.

    Its keys are those of the section `train`; only these defaults differ.
    """

    algorithm: Literal["ranking"] = "ranking"
    """Kind of model: one of single impressions, which needs `etl.impressions`."""
    metric: MetricName = "auc"
    """Validation figure that chooses the weights: auc, gauc, log_loss or rmse."""
