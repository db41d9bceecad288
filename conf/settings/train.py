"""The configuration's section `train`: which kind of model, and its training."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from conf.settings.model import Loss, Model, Ranking
from conf.settings.section import Positive, Section, VersionName

MetricName = Annotated[
    str,
    Field(pattern=r"^((hr|ndcg|mrr|map|recall|precision)@[1-9][0-9]{0,5}|auc|gauc|log_loss|rmse)$"),
]
Length = Annotated[int, Field(ge=1, le=999_999)]
"""Of a list that is looked at; memory goes with it."""
AboveZero = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(gt=0, le=1)]


class Als(Section):
    factors: Positive = 128
    """Width of the items' vectors."""
    regularisation: AboveZero = 1.0
    """Penalty on the squares of users' and items' vectors."""
    alpha: AboveZero = 10.0
    """Confidence in an event over that in its absence, less one."""
    iterations: Positive = 15
    """Rounds, each once over users and once over items."""
    history_decay: Decay = 0.8
    """Weight of an event at scoring over that of the one after it; 1: all count the same."""


class Ease(Section):
    regularisation: AboveZero = 250.0
    """Added to the diagonal of the items' co-occurrence counts."""
    history_decay: Decay = 0.8
    """Weight of an event at scoring over that of the one after it; 1: all count the same."""
    weights_per_item: Positive = 1000
    """Weights of largest magnitude that are kept of each item of a history; with as many as there
    are items the model is exact, at 8 bytes a weight."""
    max_items: Positive = 30_000
    """Most items that it is fitted for: memory is 12 bytes times their square, time its cube."""


AtLeastZero = Annotated[float, Field(ge=0)]


class ItemKnn(Section):
    neighbours: Positive = 200
    """Most similar items that are kept of each item."""
    similarity: Literal["cosine", "jaccard"] = "cosine"
    """Of two items' sets of users."""
    shrinkage: AtLeastZero = 10.0
    """Users added to the denominator: what few users say counts less."""
    history_decay: Decay = 0.8
    """Weight of an event at scoring over that of the one after it; 1: all count the same."""


class RecentPopularity(Section):
    half_life_days: AboveZero = 30.0
    """Age at which a training event counts half, from the newest training event on."""


class Counting(Section):
    recent_popularity: RecentPopularity = RecentPopularity()
    item_knn: ItemKnn = ItemKnn()
    ease: Ease = Ease()
    als: Als = Als()


CountingName = Literal["popularity", "recent_popularity", "markov", "item_knn", "ease", "als"]
MemberName = Literal["neural", CountingName]


class Hybrid(Section):
    members: Annotated[tuple[MemberName, ...], Field(min_length=2)] = ("neural", "markov")
    """Models that are blended, each as the other sections describe it."""
    neural: VersionName | None = None
    """Id of a neural model of the same dataset that is taken as it is; null: one is trained."""
    grid_parts: Positive = 4
    """The search for the weights, which add up to 1, begins with all multiples of one over this."""
    halvings: Annotated[int, Field(ge=0, le=8)] = 3
    """Then so often it takes a step half as long between each two members."""

    @field_validator("members")
    @classmethod
    def _each_once(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in members if members.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands there more than once; name each once")
        return members

    @model_validator(mode="after")
    def _has_use_for_neural(self) -> "Hybrid":
        if self.neural is not None and "neural" not in self.members:
            raise ValueError(
                f"neural={self.neural}, but members has no neural; add it there, or set neural=null"
            )
        return self


BelowOne = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Section):
    kind: Literal["adamw", "adam", "sgd", "adagrad"] = "adamw"
    learning_rate: AboveZero = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """With adamw decoupled from the gradient, else added to it."""
    decay_all: bool = False
    """Whether the weight decay applies to embeddings, positions, norms and biases too."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.98)
    """Of adamw and adam."""
    momentum: BelowOne = 0.9
    """Of sgd."""
    embeddings: Literal["same", "rowwise_adagrad"] = "same"
    """Of embedding tables; rowwise_adagrad keeps one number for each row and, with drawn
    negatives, touches only the rows of a step: for tables of millions."""
    embedding_learning_rate: AboveZero | None = None
    """Of rowwise_adagrad; null: ten times `learning_rate`."""
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    decay: Literal["none", "cosine", "plateau"] = "none"
    """Of the learning rate after the warm-up: none, cosine over `train.epochs`, or plateau, by
    `plateau_factor` whenever the validation figure has not grown for `plateau_epochs`."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    plateau_epochs: Positive = 2
    clip_norm: AboveZero = 1.0
    """Largest norm of the gradient of all weights together."""
    ema_decay: BelowOne | None = None
    """Share of the mean of the weights that stays in each step, such as 0.99, at most n / (n + 9)
    in the n-th: of a thousand steps 0.999 is never reached. The mean is what is validated and
    published. null: the weights as they are."""


class WarmStart(Section):
    model: VersionName | None = None
    """Id of the model to go on from; `current`: the newest published network of another dataset,
    of the same day at the latest, or none where there is none; null: train from nothing."""
    new_items: Literal["similar", "mean"] = "similar"
    """What the vector of an item that the model lacks begins as: the mean of the items that it
    stands near in the training part, else of those that share its categories or tags, else of
    all, with noise of `train.model.embedding_std`; or always the latter."""
    neighbour_distance: Positive = 2
    """Most events between two items of a history that stand near each other, the later counted."""
    keep_optimizer: bool = True
    """Whether the optimiser goes on from its state, where the model has it saved (see
    `train.save_optimizer`)."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps until the full learning rate, in place of `train.optimizer.warmup_steps`."""


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
