"""The configuration's sections `train.model` and `train.loss`: the retrieval network."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.section import Positive, Section, Share

InitName = Literal["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "normal"]
Dilations = Annotated[tuple[Positive, ...], Field(min_length=1)]


class Content(Section):
    features: Literal["none", "all"] | tuple[str, ...] = "none"
    """Features of the items, of `etl.features.items`, that join each item's own embedding: none,
    all of the dataset's, or some by name. With them an item without any event has a score."""
    dropout: Share = 0.1
    """Of training: chance of each feature of an item to be taken for missing."""
    id_dropout: Share = 0.1
    """Of training: chance of an item's own embedding to be left out where the item is scored, so
    that its features learn to do without; in histories it stays."""


class Model(Section):
    encoder: Literal["attention", "bidirectional", "gru", "cnn", "caser", "mean"] = "attention"
    """attention: causal; bidirectional: masked items; cnn: dilated causal convolutions; caser:
    filters over the newest events; mean: the floor."""
    width: Positive = 64
    blocks: Positive = 2
    """Layers; of caser and mean there is one."""
    heads: Positive = 2
    """Of attention."""
    feedforward_factor: Positive = 4
    """Width of attention's inner layer over `width`."""
    positions: Literal["learned", "rotary", "none"] = "learned"
    """Of attention: how it knows the order."""
    gated: bool = False
    """Of attention: whether each layer's outcome is gated by what it was made from."""
    kernel_size: Annotated[int, Field(ge=2)] = 3
    """Of cnn: events that a convolution sees."""
    dilations: Dilations = (1, 4)
    """Of cnn: distance between those events in each block's first convolution, in turns; in its
    second it is twice that."""
    window: Positive = 5
    """Of caser: newest events that it sees."""
    vertical_filters: Positive = 4
    horizontal_filters: Positive = 16
    """Of caser; those across the events, of each height up to `window`."""
    mask_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of bidirectional: share of the events that are masked in training."""
    dropout: Share = 0.2
    history_length: Positive = 50
    """Newest events of a history that the encoder sees."""
    event_types: bool = False
    """Whether each event's type enters with its item."""
    time_gaps: bool = False
    """Whether the time since the event before enters with the item; takes a log with times."""
    calendar: bool = False
    """Whether weekday and hour of day (UTC) of each event enter; takes a log with times."""
    event_features: Literal["none", "all"] | tuple[str, ...] = "none"
    """What else of each event enters with its item: none, all of `etl.history_features`, or some
    by name."""
    content: Content = Content()
    similarity: Literal["dot", "cosine"] = "dot"
    """Of user and item vector."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """What scores are divided by; about 0.05 with cosine."""
    init: InitName = "xavier_normal"
    """Initialisation of dense layers and filters."""
    init_std: Annotated[float, Field(gt=0)] = 0.02
    """Deviation of `init: normal`."""
    embedding_std: Annotated[float, Field(gt=0)] = 0.02
    """Deviation of embeddings and positions, drawn from a normal distribution."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Model":
        if self.encoder in ("attention", "bidirectional"):
            if self.width % self.heads:
                raise ValueError(f"heads={self.heads} has to divide width={self.width}")
            if self.positions == "rotary" and (self.width // self.heads) % 2:
                raise ValueError(
                    f"positions='rotary' turns pairs of values, but width={self.width} over "
                    f"heads={self.heads} is {self.width // self.heads}; make it even"
                )
        return self


class Loss(Section):
    kind: Literal["cross_entropy", "sampled_softmax", "gbce", "bce", "bpr"] = "cross_entropy"
    """cross_entropy is over the whole catalogue, all others over drawn negatives."""
    num_negatives: Positive = 256
    """Negatives drawn for each position, or for the batch."""
    negatives_for: Literal["position", "batch"] = "position"
    sampling: Literal["uniform", "popularity", "in_batch"] = "uniform"
    """Distribution of the negatives; in_batch: the batch's targets are one another's. Sampled
    softmax corrects for it."""
    calibration: Share = 0.75
    """Of gbce: from 0, plain BCE, to 1, probabilities that the drawing does not inflate."""
