"""What the data report shows: plain figures, whichever step they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conf.contract import Account
from conf.pages.charts import Distribution


@dataclass(frozen=True)
class RuleSamples:
    """One rule of the quarantine with some of its rows."""

    input: str
    rule: str
    rows: int
    samples: Sequence[Mapping[str, str]]
    """Masked values by column."""


@dataclass(frozen=True)
class MissingField:
    """How often one declared field of a table or a log says nothing."""

    table: str
    """items, users, or events and the log's name."""
    field: str
    delivered_rows: int
    """Rows kept of the table; of a log all that were read."""
    delivered_missing: int
    published_rows: int
    """Rows of the dataset's own table, which also has ids that were not delivered; of a log the
    events kept."""
    published_missing: int


@dataclass(frozen=True)
class LongTail:
    """How events lie on items, the most frequent ones first."""

    points: Sequence[tuple[float, float]]
    """Share of the items, share of the events that they hold."""
    heads: Mapping[float, float]
    """Share of the events on the first so many of the items."""
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
    """This dataset beside the previous one."""

    previous_id: str
    counts: Mapping[str, tuple[int, int]]
    """Previous and present number."""
    quarantined_shares: tuple[float, float]
    shifts: Sequence[Shift]


@dataclass(frozen=True)
class FeatureFigures:
    """One feature, and why it was selected or not."""

    name: str
    kind: str
    is_selected: bool
    reason: str
    """Why it was left out; empty for a selected one."""
    figures: Mapping[str, float]
    """Such as its sparsity, its strongest correlation, its mutual information."""


@dataclass(frozen=True)
class Anonymity:
    """What k-anonymity was asked for and reached."""

    quasi_identifiers: Sequence[str]
    k_asked: int
    k_reached: int | None
    """None where no combination says anything any more."""
    figures: Mapping[str, int]
    """Such as the users generalised and suppressed."""


@dataclass(frozen=True)
class ReportData:
    """All that one report shows; sections without data are left out."""

    dataset_id: str
    logical_date: str
    as_of: str
    counts: Mapping[str, int]
    flows: Mapping[str, Mapping[str, Account]]
    """For each input the accounts of its logs or of its one table."""
    files: Mapping[str, Mapping[str, Account]]
    """For each input the accounts of its source files."""
    quarantine: Sequence[RuleSamples]
    cleaning: Sequence[Distribution]
    missing: Sequence[MissingField]
    long_tail: LongTail | None
    activity: Sequence[Distribution]
    histories: Sequence[Distribution]
    splits: Mapping[str, tuple[int, int, int]]
    """For each part of the dataset its files, rows and bytes."""
    features: Sequence[FeatureFigures] = ()
    anonymity: Anonymity | None = None
    drift: Drift | None = None
