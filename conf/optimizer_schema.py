"""The configuration's section `train.optimizer`: the steps that training takes."""

from typing import Annotated, Literal

from pydantic import Field

from conf.section import Section


class Optimizer(Section):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Not applied to embeddings, norms and biases."""
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    decay: Literal["none", "cosine"] = "none"
    """Of the learning rate after the warm-up, over `train.epochs`."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
