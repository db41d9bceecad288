"""The contents of the data report: plain figures, independent of the steps that compute them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conf.ledger import Account, Match
from conf.pages.charts import Distribution


@dataclass(frozen=True)
class RuleSamples:
    """A quarantine rule with some of the rows that broke it."""

    input: str
    rule: str
    rows: int
    samples: Sequence[Mapping[str, str]]
    """Masked values by column."""


@dataclass(frozen=True)
class MissingField:
    """How often a declared field of a table or a log has no value."""

    table: str
    """items, users, or events and the log's name."""
    field: str
    delivered_rows: int
    """Kept rows of the table, or all rows read of a log."""
    delivered_missing: int
    published_rows: int
    """Rows of the dataset's table, which also has ids that the input lacks, or the kept events of
    a log."""
    published_missing: int


@dataclass(frozen=True)
class LongTail:
    """How events are spread over items, the most popular ones first."""

    points: Sequence[tuple[float, float]]
    """Share of the items, and share of the events that these items have."""
    heads: Mapping[float, float]
    """Share of the events of the most popular items, by the share of these items."""
    gini: float
    num_items: int
    num_events: int


@dataclass(frozen=True)
class Shift:
    """A distribution in the previous dataset and in this one."""

    shares: Distribution
    psi: float


@dataclass(frozen=True)
class Drift:
    """This dataset compared with the previous one."""

    previous_id: str
    counts: Mapping[str, tuple[int, int]]
    """Previous and current number."""
    quarantined_shares: tuple[float, float]
    shifts: Sequence[Shift]


@dataclass(frozen=True)
class FeatureFigures:
    """One feature, and why it was selected or not."""

    name: str
    kind: str
    is_selected: bool
    reason: str
    """Why it was left out; empty for a selected feature."""
    figures: Mapping[str, float]
    """Statistics such as its strongest correlation and its mutual information."""


@dataclass(frozen=True)
class Anonymity:
    """The k-anonymity that was required and reached."""

    quasi_identifiers: Sequence[str]
    k_asked: int
    k_reached: int | None
    """None if all combinations are empty."""
    figures: Mapping[str, int]
    """Counts such as the users generalised and suppressed."""


@dataclass(frozen=True)
class ReportData:
    """The contents of one report; sections without data are left out."""

    dataset_id: str
    logical_date: str
    as_of: str
    counts: Mapping[str, int]
    flows: Mapping[str, Mapping[str, Account]]
    """For each input the accounts of its logs, or of its table."""
    files: Mapping[str, Mapping[str, Account]]
    """For each input the accounts of its source files."""
    quarantine: Sequence[RuleSamples]
    cleaning: Sequence[Distribution]
    missing: Sequence[MissingField]
    long_tail: LongTail | None
    activity: Sequence[Distribution]
    histories: Sequence[Distribution]
    splits: Mapping[str, tuple[int, int, int]]
    """Number of files, rows and bytes of each part of the dataset."""
    warnings: Sequence[tuple[str, str]] = ()
    """Input and text of each warning in the ledger."""
    cuts: Mapping[str, str] = field(default_factory=dict)
    """First instants of the validation and the test part of a temporal split, by their key."""
    features: Sequence[FeatureFigures] = ()
    matches: Mapping[str, Match] = field(default_factory=dict)
    """For each table how its ids fit those of the log."""
    anonymity: Anonymity | None = None
    drift: Drift | None = None
