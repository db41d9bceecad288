"""What one stage leaves on disk for the next: column names, file names, manifests.

`etl` and `trainer` never import each other; they meet in these models. Everything here is
written as JSON beside the Parquet files that it describes.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

CONTRACT_VERSION: Final = 3
MODEL_NAME = "model"  # the model's figures, beside those of its baselines by their names

# Reserved numbers of every vocabulary.
PADDING_IDX, UNKNOWN_IDX, NUM_RESERVED = 0, 1, 2
NO_ITEM = -1  # in a list, where there is no further item

# Columns of the shards (numbers only).
USER_IDX = "user_idx"
HISTORY_ITEMS = "history_item_idx"  # list<int32>, oldest first
HISTORY_TYPES = "history_event_type"  # list<int32>, index into the manifest's `event_types`
HISTORY_TIMES = "history_time"  # list<int64>, microseconds since 1970 UTC, or an order number
HISTORY_CONTEXT = "history_context_"  # in front of a field's name: list<int32> or list<float>
HISTORY_WEIGHTS = "history_weight"  # list<float>, weight of each event as a training target
TARGET_ITEM = "target_item_idx"  # int32, the held-out item
LABEL_PREFIX = "label_"  # in front of a label's name: float
SAMPLING_PROBABILITY = "sampling_probability"  # float, of a drawn negative; 1 for logged events
NUM_BEFORE = "user_num_before"  # float, ln(1 + events of the user before an impression)
PRESENT_SUFFIX = "_present"  # behind a feature's name: int32, 1 where the row has a value

# Columns of the tables with raw ids (never streamed to the trainer).
USER_ID, ITEM_ID, ITEM_IDX = "user_id", "item_id", "item_idx"
TITLE = "title"
TRAIN_EVENTS = "train_events"  # int64, an item's events in the training part

# Columns of the published lists.
POSITION = "position"
SCORE = "score"
SOURCE = "source"
REASONS = "reasons"
SOURCE_MODEL, SOURCE_FALLBACK = "model", "fallback"

MANIFEST_NAME: dict[str, str] = {
    "datasets": "manifest.json",
    "models": "bundle.json",
    "lists": "lists.json",
}
REPORT_NAME, CARD_NAME = "report.html", "card.html"  # in a dataset's folder, and in a model's


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowGroup(_Record):
    """One Parquet row group, the unit in which the trainer reads."""

    path: str
    """File, relative to the dataset's folder."""
    index: int
    """Number of the row group within its file, from 0."""
    rows: int
    bytes: int


class DataFile(_Record):
    """One file of a version."""

    path: str
    """Relative to the version's folder."""
    bytes: int
    sha256: str
    rows: int
    row_groups: tuple[RowGroup, ...] = ()


class Column(_Record):
    """One column of the shards."""

    name: str
    kind: Literal["id", "categorical", "numeric", "vector", "sequence", "label"]
    dtype: str
    cardinality: int | None = None
    """Numbers in use, the reserved ones included; None where the column is no vocabulary."""
    reserved_ids: dict[str, int] = {}


class Feature(_Record):
    """One encoded feature: a column of numbers without nulls."""

    name: str
    kind: Literal["categorical", "numeric", "tags", "vector"]
    """`tags` and `vector` are lists; numeric and vector have a column NAME_present beside them
    where a value may be missing."""
    encoding: str
    """Kind of its encoding, or `as_of` or `context`."""
    cardinality: int | None = None
    """Numbers in use of a categorical feature or of tags, the reserved ones included."""
    dimension: int | None = None
    """Length of a vector."""
    made_of: tuple[str, ...] = ()
    """Features that a cross is made of."""
    figures: dict[str, float] = {}
    """What selection measured, see `etl/features/selection.py`."""
    left_out: str | None = None
    """Why selection left the column out; None: it is there."""


class Vocabulary(_Record):
    """A numbering of raw ids. Two are the same exactly when their fingerprints are."""

    size: int
    """Numbers in use, the reserved ones included."""
    fingerprint: str
    earlier: tuple[tuple[int, str], ...] = ()
    """Sizes and fingerprints that it had in the datasets that it goes on from, oldest first: their
    ids have the same numbers here."""

    def goes_on_from(self, other: "Vocabulary") -> bool:
        """Return whether every id of the other one has the same number here."""
        mark = (other.size, other.fingerprint)
        return mark == (self.size, self.fingerprint) or mark in self.earlier


class Account(_Record):
    """Where the rows of one input, or of one of its files, went."""

    rows_read: int
    rows_kept: int
    dropped: dict[str, int] = {}
    quarantined: dict[str, int] = {}

    def missing_rows(self) -> int:
        """Return the rows that are not accounted for; 0 in every committed version."""
        dropped, quarantined = sum(self.dropped.values()), sum(self.quarantined.values())
        return self.rows_read - self.rows_kept - dropped - quarantined


class InputLedger(Account):
    """The account of one input, with that of each of its source files."""

    files: dict[str, Account] = {}
    warnings: tuple[str, ...] = ()
    """What is no reason to stop, but to look: a column that some files lack, a budget."""

    def with_warnings(self, more: tuple[str, ...]) -> "InputLedger":
        """Return the account with further warnings in front."""
        return self.model_copy(update={"warnings": (*more, *self.warnings)})


class PrivacyReport(_Record):
    """What was done for the people in a dataset."""

    mode: str
    key_id: str | None
    tenant: str
    ids: tuple[str, ...]
    """Kinds of ids that are pseudonyms."""
    methods: dict[str, str]
    """Method of each field that is not kept as it was, by its dotted name."""
    quasi_identifiers: tuple[str, ...] = ()
    k_asked: int | None = None
    """None where there are no quasi-identifiers."""
    k_reached: int | None = None
    """Least users with one combination that says anything; None where no user has one."""
    rows_generalised: int = 0
    rows_suppressed: int = 0
    """Users whose combination was made coarser than asked for, and those whose was emptied."""
    min_users_per_item: int = 1


class Manifest(_Record):
    """Contents of `datasets/<id>/manifest.json`."""

    contract_version: Literal[3] = CONTRACT_VERSION
    id: str
    request: str
    """Fingerprint of all that the version was made from."""
    content: str = ""
    """Hash of the files, equal on every cluster; set by `conf.workspace.hashes.with_content`."""
    base: str | None = None
    """Id of the dataset whose numbers and encodings this one goes on from."""
    logical_date: str
    as_of: str
    """Time of the newest event kept: ISO 8601 in UTC, or the order number."""
    config: dict[str, Any]
    columns: dict[str, tuple[Column, ...]]
    """For each of train, valid, test and histories."""
    files: dict[str, tuple[DataFile, ...]]
    """For each of train, valid, test, histories, items, users and quarantine, and for what was
    asked for: item_features, user_features, item_neighbours, encoders and impressions."""
    vocabularies: dict[str, Vocabulary]
    """Of item, user and each feature of histories; of those the fingerprint is of the encoding."""
    event_types: tuple[str, ...]
    features: dict[str, tuple[Feature, ...]] = {}
    """By part: item_features, user_features, impressions, histories; in the order of columns."""
    ledger: dict[str, InputLedger]
    fills: dict[str, dict[str, Any]] = {}
    """What stands in for missing values, by table and field: `value`, and `groups` by the text of
    the field that groups."""
    counts: dict[str, int]
    leak_check: dict[str, int] = {}
    """How many facts of each kind the leak check worked out anew and found right."""
    privacy: PrivacyReport | None = None
    """None where nothing was asked for."""

    def row_groups(self, split: str) -> list[RowGroup]:
        """Return the row groups of a split in the order of its files."""
        return [group for file in self.files[split] for group in file.row_groups]


class Bundle(_Record):
    """Contents of `models/<id>/bundle.json`: all that scoring needs, but for the weights."""

    contract_version: Literal[3] = CONTRACT_VERSION
    id: str
    request: str
    logical_date: str
    dataset_id: str
    vocabularies: dict[str, Vocabulary]
    algorithm: str
    """Kind of model: `train.algorithm`."""
    model: dict[str, Any]
    """Section of the configuration that the model is built from again; `train.model` of neural
    ones."""
    config: dict[str, Any]
    files: dict[str, tuple[DataFile, ...]]


class ListsManifest(_Record):
    """Contents of `lists/<id>/lists.json`."""

    contract_version: Literal[3] = CONTRACT_VERSION
    id: str
    request: str
    logical_date: str
    dataset_id: str
    model_id: str
    config: dict[str, Any]
    counts: dict[str, int]
    short_lists: dict[str, int]
    """Lists shorter than asked for, counted by reason."""
    gates: dict[str, bool]
    files: dict[str, tuple[DataFile, ...]]


def catalogue_size(manifest: Manifest) -> int:
    """Return the length of the item axis: every number in use, reserved ones included."""
    return manifest.vocabularies["item"].size
