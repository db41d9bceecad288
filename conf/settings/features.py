"""The configuration's section `etl.features`: how declared fields become numbers.

What is fitted (vocabularies, quantiles, means) is fitted on the training part alone.
"""

from typing import Annotated, Literal

from pydantic import Field

from conf.settings.section import Name, Positive, Section, Share


class _WithVocabulary(Section):
    min_count: Positive = 1
    """Values that fewer rows of the training part have are out of the vocabulary."""
    max_size: Positive = 100_000
    """Most values in the vocabulary; the frequent ones stay."""
    oov_buckets: Positive = 1
    """Numbers shared, by hash, by the values that are out of the vocabulary."""


class Categorical(_WithVocabulary):
    kind: Literal["categorical"]


class Hashed(Section):
    kind: Literal["hashed"]
    hash_buckets: Positive = 1024
    """Numbers that all values share by hash."""


class Bucketed(Section):
    kind: Literal["bucketed"]
    buckets: Annotated[int, Field(ge=2, le=1000)] = 10
    """Buckets with equal shares of the training part."""


class Numeric(Section):
    kind: Literal["numeric"]
    scale: Literal["none", "standard", "log_standard"] = "standard"
    """standard: mean 0 and deviation 1 in the training part; log_standard: the same of
    sign(x) ln(1 + |x|)."""


class Tags(_WithVocabulary):
    kind: Literal["tags"]
    separator: Annotated[str, Field(min_length=1)] = "|"
    """Between the tags of one value."""


class Text(Section):
    kind: Literal["text"]
    hash_buckets: Positive = 4096
    """Numbers that all words share by hash. Words are runs of letters and digits, in lower case."""
    max_words: Positive = 32
    """First words that count."""


class Vector(Section):
    kind: Literal["vector"]
    dimension: Positive
    """Numbers of each value: a list in Parquet or JSON, or text such as "[0.1, -0.2]"."""


Encoding = Annotated[
    Categorical | Hashed | Bucketed | Numeric | Tags | Text | Vector, Field(discriminator="kind")
]


class Cross(Section):
    of: Annotated[tuple[str, ...], Field(min_length=2)]
    """Encoded fields of the same table whose values together are one."""
    hash_buckets: Positive = 4096
    """Numbers that all combinations share by hash."""


class TableFeatures(Section):
    encodings: dict[str, Encoding] = {}
    """For each declared field that is a feature, how it is encoded."""
    crosses: dict[Name, Cross] = {}
    """Features of several fields together, by the name that they get."""


def vector_dimensions(table: TableFeatures) -> dict[str, int]:
    """Return for each field that holds vectors their dimension."""
    return {
        name: encoding.dimension
        for name, encoding in table.encodings.items()
        if isinstance(encoding, Vector)
    }


class AsOf(Section):
    """Counts as they stood before an event, of whole days (UTC) before the event's."""

    windows_days: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 7, 30)
    """Lengths of the windows that events are counted over."""
    half_life_days: Annotated[float, Field(gt=0)] = 7.0
    """Time in which an event's share in the decayed popularity halves."""


class Neighbours(Section):
    """Items that stand near each other in the training part's histories."""

    distance: Positive = 3
    """Most places between two events that count as together."""
    min_count: Positive = 2
    """Pairs seen less often are left out."""
    per_item: Positive = 20
    """Most neighbours of one item."""


class Selection(Section):
    """Which features are left out; the report has the figure of each."""

    min_present_share: Share = 0.0
    """Features with a value in fewer rows are too sparse."""
    drop_constant: bool = True
    """Leave out what has one value in all rows."""
    drop_duplicates: bool = True
    """Leave out what has in all rows the numbers of a feature before it."""
    max_correlation: Share = 1.0
    """Leave out a number whose Pearson correlation with one before it is above this."""
    min_mutual_information: Annotated[float, Field(ge=0)] = 0.0
    """Leave out what shares less with the label, in nats; needs impressions."""


class Features(Section):
    items: TableFeatures = TableFeatures()
    users: TableFeatures = TableFeatures()
    events: TableFeatures = TableFeatures()
    as_of: AsOf | None = None
    """null: no counts as of the event."""
    neighbours: Neighbours | None = None
    """null: no table of neighbours."""
    selection: Selection = Selection()


class Impressions(Section):
    """Rows for a ranking model: a user, an item, a context and what came of it."""

    labels: Annotated[dict[Name, tuple[str, ...]], Field(min_length=1)]
    """For each label, the event types that make it 1. `value` alone (`rating: [value]`) takes the
    event's value as the label."""
    negatives: Literal["logged", "uniform", "popularity", "session"] = "uniform"
    """logged: every event is an impression and those of other types are the negatives. Else
    negatives are drawn for every positive event: uniformly from the catalogue, by training
    events, or from the other items of its session (see `etl.session_gap_minutes`)."""
    answered_minutes: Positive | None = 30
    """logged: what was only shown (`shown_only`) to a user who acted on the same item within so
    many minutes is left out, as the act is the impression; null: each is one of its own."""
    negatives_per_positive: Positive = 4
    history_length: Positive = 50
    """Newest events before the impression that it keeps."""
