"""The configuration's section `train.optimizer`: the steps that training takes."""

from typing import Annotated, Literal

from pydantic import Field

from conf.section import Positive, Section

AboveZero = Annotated[float, Field(gt=0)]
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
