"""The configuration's section `train`: the model, its loss and its training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.section import Positive, Section, Share

MetricName = Annotated[str, Field(pattern=r"^(hr|ndcg|mrr|map|recall|precision)@[1-9][0-9]*$")]


class Model(Section):
    encoder: Literal["attention"] = "attention"
    width: Positive = 64
    blocks: Positive = 2
    heads: Positive = 2
    feedforward_factor: Positive = 4
    """Width of the inner layer over `width`."""
    dropout: Share = 0.2
    history_length: Positive = 50
    """Newest events of a history that the encoder sees."""
    init: Literal["xavier_uniform", "xavier_normal", "normal"] = "xavier_normal"
    """Initialisation of dense layers; embeddings are drawn from a normal distribution."""
    embedding_std: Annotated[float, Field(gt=0)] = 0.02

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Model":
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} has to divide width={self.width}")
        return self


class Loss(Section):
    kind: Literal["cross_entropy", "sampled_softmax"] = "cross_entropy"
    num_negatives: Positive = 256
    """Sampled softmax: negatives drawn for each position, or for the batch."""
    negatives_for: Literal["position", "batch"] = "position"
    sampling: Literal["uniform", "popularity"] = "uniform"
    """Distribution of the negatives; the logits are corrected for it."""


class Optimizer(Section):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Not applied to embeddings, norms and biases."""
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    decay: Literal["none", "cosine"] = "none"
    """Of the learning rate after the warm-up, over `train.epochs`."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0


class Train(Section):
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
    model: Model = Model()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    metric: MetricName = "ndcg@10"
    """Validation figure that chooses the weights and stops the training."""
    patience_epochs: Positive = 5
    """Epochs without a better figure before the training stops."""
    metrics_at: Annotated[tuple[Positive, ...], Field(min_length=1)] = (5, 10, 20)
    eval_batch_rows: Positive = 256
    baselines: tuple[Literal["popularity", "markov"], ...] = ("popularity", "markov")
    checkpoint_every_rounds: Positive = 1
    """Rounds (see the plan of an epoch) between two checkpoints."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Worker deaths that a run survives."""
    collective_timeout_seconds: Positive = 300
