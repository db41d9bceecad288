"""The configuration's sections `train.model` and `train.loss`: the retrieval network."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.section import Positive, Section, Share


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
