"""The configuration's section `etl.features`: how declared fields become numbers.

Vocabularies, quantiles and means are fitted on the training part alone.
"""

from typing import Annotated, Literal

from pydantic import Field

from conf.settings.section import Name, Positive, Section, Share


class _WithVocabulary(Section):
    min_count: Positive = 1
    """Fewest occurrences in the training part for a value to enter the vocabulary."""
    max_size: Positive = 100_000
    """Most values in the vocabulary; the most frequent ones are kept."""
    oov_buckets: Positive = 1
    """Numbers that values outside the vocabulary share, by hash."""


class Categorical(_WithVocabulary):
    kind: Literal["categorical"]
    """One value, numbered by a vocabulary."""


class Hashed(Section):
    kind: Literal["hashed"]
    """One value, numbered by its hash."""
    hash_buckets: Positive = 1024
    """Numbers that all values share, by hash."""


class Bucketed(Section):
    kind: Literal["bucketed"]
    """A number, replaced by the number of its quantile."""
    buckets: Annotated[int, Field(ge=2, le=1000)] = 10
    """Buckets with equal shares of the training part."""


class Numeric(Section):
    kind: Literal["numeric"]
    """A number, scaled."""
    scale: Literal["none", "standard", "log_standard"] = "standard"
    """standard: mean 0 and standard deviation 1 in the training part. log_standard: the same for
    sign(x) ln(1 + |x|). none: the number as it is."""


class Tags(_WithVocabulary):
    kind: Literal["tags"]
    """Several values in one text or list, numbered by a vocabulary."""
    separator: Annotated[str, Field(min_length=1)] = "|"
    """Text between two tags. Lists need none: those of Parquet, ORC, Avro and JSON, and texts such
    as ["a", "b"] and ['a', 'b']."""


class Text(Section):
    kind: Literal["text"]
    """The words of a text, numbered by their hashes."""
    hash_buckets: Positive = 4096
    """Numbers that all words share, by hash. Words are runs of letters and digits in lower case."""
    max_words: Positive = 32
    """Words that are used, from the beginning of the text."""


class Vector(Section):
    kind: Literal["vector"]
    """A list of numbers, such as an embedding made elsewhere."""
    dimension: Positive
    """Length of each vector: a list in Parquet or JSON, or text such as "[0.1, -0.2]"."""


Encoding = Annotated[
    Categorical | Hashed | Bucketed | Numeric | Tags | Text | Vector, Field(discriminator="kind")
]


class Cross(Section):
    """One feature made of the combination of several others."""

    of: Annotated[tuple[str, ...], Field(min_length=2)]
    """Fields whose values are combined: encoded fields of the same table, of the kinds categorical,
    hashed or bucketed."""
    hash_buckets: Positive = 4096
    """Numbers that all combinations share, by hash."""


class TableFeatures(Section):
    """Which declared fields of a table become features, and how."""

    encodings: dict[str, Encoding] = {}
    """For each declared field that becomes a feature, its encoding."""
    crosses: dict[Name, Cross] = {}
    """Features that combine several fields, by a name of your own."""


def vector_dimensions(table: TableFeatures) -> dict[str, int]:
    """Return the dimension of each field that holds vectors."""
    return {
        name: encoding.dimension
        for name, encoding in table.encodings.items()
        if isinstance(encoding, Vector)
    }


class AsOf(Section):
    """Counts per user and item before each impression, over whole days (UTC) before its day."""

    windows_days: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 7, 30)
    """Lengths of the windows in days; all days together are always counted too."""
    half_life_days: Annotated[float, Field(gt=0)] = 7.0
    """Age in days at which an event counts half in the decayed popularity."""


class Neighbours(Section):
    """A table of items that are near each other in the training histories."""

    distance: Positive = 3
    """Most places between two events of a history whose items count as together."""
    min_count: Positive = 2
    """Fewest times together; rarer pairs are left out."""
    per_item: Positive = 20
    """Most neighbours of one item."""


class Selection(Section):
    """Which features are left out; the dataset's report shows the figures of each."""

    min_present_share: Share = 0.0
    """Smallest share of rows with a value; features with less are left out."""
    drop_constant: bool = True
    """Whether features with the same value in all rows are left out."""
    drop_duplicates: bool = True
    """Whether a feature is left out that equals an earlier one in all rows."""
    max_correlation: Share = 1.0
    """Largest Pearson correlation (absolute value) of a number with an earlier one; numbers above
    it are left out."""
    min_mutual_information: Annotated[float, Field(ge=0)] = 0.0
    """Smallest mutual information with the first label, in nats; features below it are left out.
    Needs `etl.impressions`."""


class Features(Section):
    """How declared fields and past events become the features of items, users and events."""

    items: TableFeatures = TableFeatures()
    """Features from the fields of `input.items`."""
    users: TableFeatures = TableFeatures()
    """Features from the fields of `input.users`."""
    events: TableFeatures = TableFeatures()
    """Features from the fields of `input.events`: of impressions, and of histories if
    `etl.history_features` lists them."""
    as_of: AsOf | None = None
    """Counts of events before each impression; null: none. Needs `etl.impressions` and a log with
    times (`input.events.NAME.time_unit` other than order)."""
    neighbours: Neighbours | None = None
    """Table of items that are near each other in histories; null: none."""
    selection: Selection = Selection()
    """Which features are left out."""


class Impressions(Section):
    """Rows for a ranking model: a user, an item, the context, and the outcome as labels."""

    labels: Annotated[dict[Name, tuple[str, ...]], Field(min_length=1)]
    """For each label, the types of `etl.event_types` that make it 1. `[value]` alone makes the
    event's value the label, as in `rating: [value]`."""
    negatives: Literal["logged", "uniform", "popularity", "session"] = "uniform"
    """Negatives. logged: every event is an impression, and those of other types are the negatives.
    Otherwise they are drawn for each positive event: uniform from the catalogue, by popularity in
    the training part, or from the other items of the session (needs
    `etl.session_gap_minutes`)."""
    answered_minutes: Positive | None = 30
    """An event that only showed the item (`etl.event_types.NAME.shown_only`) is left out if its
    user acts on the item within this number of minutes: the act is the impression then. null: none
    is left out."""
    negatives_per_positive: Positive = 4
    """Negatives drawn for each positive event. No effect with
    `etl.impressions.negatives: logged`."""
    history_length: Positive = 50
    """Newest items before the impression that its row holds."""
