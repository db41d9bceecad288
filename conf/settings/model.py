"""The configuration's sections `train.model` and `train.loss`: the retrieval network."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.settings.section import Name, Positive, Section, Share

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


RANKING_METRICS = ("auc", "gauc", "log_loss", "rmse")
"""Figures that `train.metric` may name for a ranking model."""
LOWER_IS_BETTER = ("log_loss", "rmse")


class Ranking(Section):
    """Takes user, item, context and history; gives the probability of each label, or a rating."""

    interaction: Literal["linear", "wide_deep", "deepfm", "dcnv2", "dlrm", "finalmlp"] = "deepfm"
    """How features meet: not at all (logistic regression), in a deep network beside a linear
    part, with pairwise products as well, in cross layers, in dot products of their vectors, or
    in two gated networks whose outputs are multiplied."""
    width: Positive = 16
    """Numbers in the vector of each feature."""
    hidden: Annotated[tuple[Positive, ...], Field(min_length=1)] = (128, 64)
    """Widths of the deep network's layers."""
    second_hidden: tuple[Positive, ...] = ()
    """finalmlp: those of the second network; []: the same."""
    heads: Positive = 1
    """finalmlp: parts of both networks' outputs that are multiplied pair by pair."""
    gate_width: Annotated[int, Field(ge=0)] = 64
    """finalmlp: inner width of the gates, one of the user's vector and one of the item's; 0: no
    gates."""
    cross_layers: Positive = 3
    """dcnv2: layers of the cross network."""
    dropout: Share = 0.1
    """In the deep networks."""
    batch_norm: bool = False
    """Whether the deep networks' layers are normalised over the batch."""
    history: Literal["none", "mean", "target_attention"] = "mean"
    """What is made of the items before the impression: nothing, their mean, or a sum weighted by
    what each has to do with the impression's item."""
    history_length: Positive = 20
    """Newest items of the history that are looked at."""
    attention_width: Positive = 32
    """target_attention: inner width of the network that weighs the items."""
    labels: dict[Name, Annotated[float, Field(gt=0)]] = {}
    """Labels of `etl.impressions` that are learned, each with its weight in the loss; {}: its
    first one. The first one here is that of `train.metric`."""
    multi_task: Literal["shared_bottom", "mmoe"] = "shared_bottom"
    """Several labels: one network for all, or several experts, mixed by each label's own gate."""
    experts: Positive = 4
    """mmoe: how many."""
    tower_hidden: tuple[Positive, ...] = ()
    """Several labels: widths of the layers of each label's own network."""
    loss: Literal["bce", "mse"] = "bce"
    """Cross-entropy of labels of 0 and 1, or squared error of a rating."""
    sampling: Literal["none", "logit", "weight"] = "none"
    """What is done about negatives that were drawn, n for each positive, an item with probability
    q: nothing, log(n q) taken from the logit of a row, or such rows counted 1 / (n q) times."""
    features_left_out: tuple[str, ...] = ()
    """Features of the dataset that the model does not see."""
    unknown_share: Share = 0.0
    """Share of users and items that training takes for unknown ones, so that it learns what to
    make of those."""
    init: InitName = "xavier_normal"
    """Initialisation of dense layers; embeddings are drawn from a normal distribution."""
    embedding_std: Annotated[float, Field(gt=0)] = 0.01
    embedding_l2: Annotated[float, Field(ge=0)] = 0.0
    """Half of it times the sum of squares of all embeddings is added to the mean loss."""
    calibration: Literal["none", "platt", "isotonic"] = "none"
    """Map of the probabilities that is fitted on the validation part."""
    baselines: tuple[Literal["label_mean", "item_rate", "linear"], ...] = (
        "label_mean", "item_rate", "linear",
    )  # fmt: skip
    """What stands beside the model in its figures: the label's mean, each item's mean, and
    logistic (or linear) regression on the same features, which is trained in the same way."""
    item_rate_prior_rows: Annotated[float, Field(gt=0)] = 20.0
    """item_rate: rows of the label's mean that are added to each item's own."""

    @model_validator(mode="after")
    def _heads_divide_both_outputs(self) -> "Ranking":
        ends = (self.hidden[-1], (self.second_hidden or self.hidden)[-1])
        if self.interaction == "finalmlp" and any(end % self.heads for end in ends):
            raise ValueError(
                f"heads={self.heads} has to divide the last width of hidden and of "
                f"second_hidden, {ends[0]} and {ends[1]}"
            )
        return self
