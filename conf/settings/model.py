"""The sections `train.model`, `train.loss` (network over the catalogue) and `train.ranking`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.settings.section import Name, Positive, Section, Share

InitName = Literal["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "normal"]
Dilations = Annotated[tuple[Positive, ...], Field(min_length=1)]
RANKING_METRICS = ("auc", "gauc", "log_loss", "rmse")
"""Figures of a ranking model that `train.metric` may name."""
LOWER_IS_BETTER = ("log_loss", "rmse")


class Content(Section):
    """Item features that the network over the catalogue uses next to each item's own embedding."""

    features: Literal["none", "all"] | tuple[str, ...] = "none"
    """Item features to use: none, all of the dataset, or a list of names (`item_` and the field's
    name). With features, an item without events gets a score too. Needs
    `etl.features.items.encodings`."""
    dropout: Share = 0.1
    """In training, chance that a feature of an item is treated as missing."""
    id_dropout: Share = 0.1
    """In training, chance that an item that is scored loses its own embedding, so its features
    learn to replace it. Items of the history always keep theirs."""


class Model(Section):
    """The network that scores the whole catalogue for a user's history."""

    encoder: Literal["attention", "bidirectional", "gru", "cnn", "caser", "mean"] = "attention"
    """Encoder of the history. attention: causal self-attention. bidirectional: self-attention that
    learns to fill in masked items. gru: recurrent. cnn: dilated causal convolutions. caser: filters
    over the newest events. mean: the mean of all events, a lower bound for the others."""
    width: Positive = 64
    """Width of the item vectors and of the encoder."""
    blocks: Positive = 2
    """Layers of the encoder. No effect on `caser` and `mean`, which have one."""
    heads: Positive = 2
    """Attention heads of `attention` and `bidirectional`; must divide `train.model.width`."""
    feedforward_factor: Positive = 4
    """Width of the feed-forward layers of `attention` and `bidirectional`, as a multiple of
    `train.model.width`."""
    positions: Literal["learned", "rotary", "none"] = "learned"
    """How `attention` and `bidirectional` know the order of events: by learned vectors, by rotation
    (needs an even width of each head), or not at all."""
    gated: bool = False
    """Whether each layer of `attention` and `bidirectional` multiplies its output by a gate that is
    computed from its input."""
    kernel_size: Annotated[int, Field(ge=2)] = 3
    """Events that one convolution of `cnn` sees."""
    dilations: Dilations = (1, 4)
    """Distance between those events in the first convolution of each block of `cnn`, repeated over
    the blocks. The second convolution has twice the distance."""
    window: Positive = 5
    """Newest events that `caser` sees."""
    vertical_filters: Positive = 4
    """Filters of `caser` over the whole window; each is a weighted sum of its events."""
    horizontal_filters: Positive = 16
    """Filters of `caser` over successive events, for each number of events up to
    `train.model.window`."""
    mask_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the events that `bidirectional` masks in training; the newest is always masked."""
    dropout: Share = 0.2
    """Share of values that the encoder drops in training."""
    history_length: Positive = 50
    """Newest events of a history that the encoder sees."""
    event_types: bool = False
    """Whether the network sees each event's type."""
    time_gaps: bool = False
    """Whether the network sees the time between an event and the one before it; needs a log with
    times (`input.events.NAME.time_unit` other than order)."""
    calendar: bool = False
    """Whether the network sees each event's weekday and hour of day (UTC); needs a log with times
    (`input.events.NAME.time_unit` other than order)."""
    event_features: Literal["none", "all"] | tuple[str, ...] = "none"
    """Further features of each event that the network sees: none, all of `etl.history_features`, or
    a list of names."""
    content: Content = Content()
    """Features of the items that the network sees."""
    similarity: Literal["dot", "cosine"] = "dot"
    """Score of a user vector and an item vector: their dot product or their cosine."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Number that scores are divided by; about 0.05 suits `train.model.similarity: cosine`."""
    init: InitName = "xavier_normal"
    """Initialisation of dense layers and filters."""
    init_std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation of `train.model.init: normal`."""
    embedding_std: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation of embeddings and positions, which are drawn from a normal
    distribution."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Model":
        if self.encoder in ("attention", "bidirectional"):
            if self.width % self.heads:
                raise ValueError(f"heads={self.heads} has to divide width={self.width}")
            if self.positions == "rotary" and (self.width // self.heads) % 2:
                raise ValueError(
                    f"positions='rotary' rotates pairs of values, but width={self.width} / "
                    f"heads={self.heads} is {self.width // self.heads}; make it even"
                )
        return self


class Loss(Section):
    """The training loss of the network over the catalogue."""

    kind: Literal["cross_entropy", "sampled_softmax", "gbce", "bce", "bpr"] = "cross_entropy"
    """Loss function. cross_entropy uses the whole catalogue, all others use drawn negatives."""
    num_negatives: Positive = 256
    """Negatives drawn for each position, or for the batch; see `train.loss.negatives_for`."""
    negatives_for: Literal["position", "batch"] = "position"
    """Whether each position has its own negatives, or all positions of a batch share one set."""
    sampling: Literal["uniform", "popularity", "in_batch"] = "uniform"
    """Distribution of the negatives. uniform: over the catalogue. popularity: by training events.
    in_batch: the targets of the batch are each other's negatives. sampled_softmax corrects for the
    distribution."""
    calibration: Share = 0.75
    """Calibration of `gbce`: from 0, plain BCE, to 1, probabilities that the sampling of negatives
    does not inflate."""


class Ranking(Section):
    """A network for single impressions that predicts the probability of each label, or a rating."""

    interaction: Literal["linear", "wide_deep", "deepfm", "dcnv2", "dlrm", "finalmlp"] = "deepfm"
    """How features interact. linear: not at all (logistic regression). wide_deep: a deep network
    next to a linear part. deepfm: the same with pairwise products. dcnv2: cross layers next to a
    deep network. dlrm: dot products of the features' vectors. finalmlp: two gated networks whose
    outputs are multiplied."""
    width: Positive = 16
    """Width of each feature's vector."""
    hidden: Annotated[tuple[Positive, ...], Field(min_length=1)] = (128, 64)
    """Widths of the deep network's layers."""
    second_hidden: tuple[Positive, ...] = ()
    """Widths of the layers of the second network of `finalmlp`; []: as `train.ranking.hidden`."""
    heads: Positive = 1
    """Parts that `finalmlp` cuts the outputs of both networks into; they are multiplied pair by
    pair. Must divide the last width of both networks."""
    gate_width: Annotated[int, Field(ge=0)] = 64
    """Inner width of the two gates of `finalmlp`, one from the user's vector, one from the item's;
    0: no gates."""
    cross_layers: Positive = 3
    """Layers of the cross network of `dcnv2`."""
    dropout: Share = 0.1
    """Share of values that the deep networks drop in training."""
    batch_norm: bool = False
    """Whether the deep networks have batch normalisation."""
    history: Literal["none", "mean", "target_attention"] = "mean"
    """How the items before the impression are used: not at all, as their mean, or as a sum that
    weights each by its relevance to the impression's item."""
    history_length: Positive = 20
    """Newest items before the impression that are used; the dataset holds up to
    `etl.impressions.history_length`."""
    attention_width: Positive = 32
    """Inner width of the network that weights the items in `target_attention`."""
    labels: dict[Name, Annotated[float, Field(gt=0)]] = {}
    """Labels of `etl.impressions.labels` to learn, each with its weight in the loss; {}: the first
    one. `train.metric` measures the first label listed here."""
    multi_task: Literal["shared_bottom", "mmoe"] = "shared_bottom"
    """With several labels, what they share: one network, or several experts, which each label mixes
    with its own gate."""
    experts: Positive = 4
    """Number of experts of `mmoe`."""
    tower_hidden: tuple[Positive, ...] = ()
    """With several labels, widths of the layers of each label's own network; []: no layers."""
    loss: Literal["bce", "mse"] = "bce"
    """bce: cross-entropy of labels that are 0 or 1. mse: squared error of a rating; needs
    `train.metric: rmse`."""
    sampling: Literal["none", "logit", "weight"] = "none"
    """Correction for drawn negatives: n are drawn for each positive, an item with probability q.
    none: no correction. logit: log(n q) is subtracted from the logit of each row; excludes
    `train.ranking.loss: mse` and `etl.impressions.negatives: session`. weight: each drawn row
    counts 1 / (n q) times."""
    features_left_out: tuple[str, ...] = ()
    """Features of the dataset that the model does not use."""
    unknown_share: Share = 0.0
    """In training, share of users and items that are treated as unknown, so the model learns how to
    score unknown ones."""
    init: InitName = "xavier_normal"
    """Initialisation of dense layers; for embeddings see `train.ranking.embedding_std`."""
    embedding_std: Annotated[float, Field(gt=0)] = 0.01
    """Standard deviation of embeddings, which are drawn from a normal distribution."""
    embedding_l2: Annotated[float, Field(ge=0)] = 0.0
    """Penalty on embeddings: half of this number times the sum of their squares is added to the
    mean loss."""
    calibration: Literal["none", "platt", "isotonic"] = "none"
    """Map of the probabilities that is fitted on the validation part; excludes
    `train.ranking.loss: mse`."""
    baselines: tuple[Literal["label_mean", "item_rate", "linear"], ...] = (
        "label_mean", "item_rate", "linear",
    )  # fmt: skip
    """Models that are reported next to the trained one: the label's mean, each item's mean, and
    logistic (or linear) regression on the same features, trained in the same way."""
    item_rate_prior_rows: Annotated[float, Field(gt=0)] = 20.0
    """Rows with the label's mean that the baseline `item_rate` adds to the rows of each item."""

    @model_validator(mode="after")
    def _heads_divide_both_outputs(self) -> "Ranking":
        ends = (self.hidden[-1], (self.second_hidden or self.hidden)[-1])
        if self.interaction == "finalmlp" and any(end % self.heads for end in ends):
            raise ValueError(
                f"heads={self.heads} has to divide the last width of hidden and of "
                f"second_hidden, {ends[0]} and {ends[1]}"
            )
        return self
