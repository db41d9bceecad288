"""What one stage writes for the next one: column names, file names, manifests.

`etl` and `trainer` never import each other; they share these models. All of them are written as
JSON next to the Parquet files that they describe.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from conf.ledger import InputLedger, Record

CONTRACT_VERSION: Final = 3
MODEL_NAME = "model"  # key of the model's figures, next to the names of its baselines

# Roles of models. Others are the names of channels in `score.candidates`.
MAIN, RANKER = "main", "ranker"

# Reserved numbers of every vocabulary.
PADDING_IDX, UNKNOWN_IDX, NUM_RESERVED = 0, 1, 2
MOST_NUMBERS = 2**31 - 1  # columns of numbers are int32
NO_ITEM = -1  # in a list that has no further item

# Columns of the shards (numbers only).
USER_IDX = "user_idx"
HISTORY_ITEMS = "history_item_idx"  # list<int32>, oldest first
HISTORY_TYPES = "history_event_type"  # list<int32>, index into the manifest's `event_types`
HISTORY_TIMES = "history_time"  # list<int64>, microseconds since 1970 UTC, or an order number
HISTORY_CONTEXT = "history_context_"  # before a field's name: list<int32> or list<float>
HISTORY_WEIGHTS = "history_weight"  # list<float>, confidence in each event; except in train/ only
# if acts can differ in it, see `conf.settings.etl.acts_differ`
TARGET_ITEM = "target_item_idx"  # int32, the held-out item
LABEL_PREFIX = "label_"  # before a label's name: float
SAMPLING_PROBABILITY = "sampling_probability"  # float, for drawn negatives; 1 for logged events
NUM_BEFORE = "user_num_before"  # float, ln(1 + the user's events before an impression)
GAP = "user_gap"  # float, ln(1 + seconds since the user's previous act), -1 if there is none
HOUR = "hour"  # int32, 2 + hour of the day in UTC
WEEKDAY = "weekday"  # int32, 2 + day of the week, Monday first
CLOCK = {HOUR: 24, WEEKDAY: 7}  # numbers in use of each, from 0 in configurations and files
NUM_EVENTS = "num_events"  # int64, of the whole log, in users/
SESSION_PLACE = "session_place"  # int32, from 0 in each session
ITEM_COUNTS, USER_COUNTS = "item_counts", "user_counts"  # parts: counts at the end of the dataset
PRESENT_SUFFIX = "_present"  # after a feature's name: int32, 1 if the row has a value

# Columns of the tables with raw ids (never streamed to the trainer).
USER_ID, ITEM_ID, ITEM_IDX, TITLE = "user_id", "item_id", "item_idx", "title"
TRAIN_EVENTS = "train_events"  # int64, an item's events in the training part
TRAIN_WEIGHT = "train_weight"  # double, the sum of their confidences; only if acts can differ in it
WEIGHT_STEPS = 1 << 20  # such sums are of multiples of 1 / WEIGHT_STEPS: the same in any order

# Columns of the published lists.
POSITION, SCORE, SOURCE, REASONS = "position", "score", "source", "reasons"
SOURCE_MODEL, SOURCE_FALLBACK = "model", "fallback"
TEXTS = "texts"  # a struct of sentences by language; only with `score.texts.languages`
CHANNELS = "channels"  # which channels of candidates named the item; only with candidates
WHY_FALLBACK, WHY_SHORT = "why_fallback", "why_short"  # null in the model's, in full lists
RULES = "rules"  # the rules that gave an item its place, or null; only if lists are arranged
RULE_EXPLORED = "explored"  # among them: the item was drawn at random
SOURCES = (SOURCE_MODEL, SOURCE_FALLBACK, RULE_EXPLORED)  # in figures, besides the channels
PROPENSITY = "propensity"  # probability of the item at its place; only with `score.exploration`
LIST_ID = "list_id"  # of scenario, user and items in their order, see `serving.publishing.list_ids`
WHY_ABSENT = "why_absent"  # in the file of users without a list

# Folders of the lists of items, and of those of users for items; also their parts of a manifest.
SIMILAR_ITEMS, AUDIENCES = "similar_items", "audiences"
AUDIENCE = "audience"  # name of an audience, where lists of several are one table
SIMILAR_ID = "similar_id"  # in lists of items, the item that is like `item_id`

MANIFEST_NAME: dict[str, str] = {
    "datasets": "manifest.json", "models": "bundle.json", "lists": "lists.json",
}  # fmt: skip
# Keys of a manifest's `cuts`, and the parts that begin there.
CUT_PARTS: dict[str, str] = {"valid_from": "validation", "test_from": "test"}
SOURCE_FILE = "source_file"  # column of the quarantine, and of rows while a dataset is made
CACHE_NAME = ".fingerprints.json"  # hashes of input files, in the workspace
REPORT_NAME = "report.html"  # in the folder of a dataset
CARD_NAME, METRICS_NAME = "card.html", "metrics.json"  # in the folder of a model


class RowGroup(Record):
    """One Parquet row group, the unit in which the trainer reads."""

    path: str
    """File, relative to the dataset's folder."""
    index: int
    """Number of the row group within its file, from 0."""
    rows: int
    bytes: int


class DataFile(Record):
    """One file of a version."""

    path: str
    """Path relative to the version's folder."""
    bytes: int
    sha256: str
    rows: int
    row_groups: tuple[RowGroup, ...] = ()
    footer_sha256: str | None = None
    """Hash of a Parquet file's footer, which has no checksum of its own as its pages have."""


class Column(Record):
    """One column of the shards."""

    name: str
    kind: Literal["id", "categorical", "numeric", "vector", "sequence", "label"]
    dtype: str
    cardinality: int | None = None
    """Numbers in use, including the reserved ones; None if the column has no vocabulary."""
    reserved_ids: dict[str, int] = {}


class Feature(Record):
    """One encoded feature: a column of numbers without nulls."""

    name: str
    kind: Literal["categorical", "numeric", "tags", "vector"]
    """`tags` and `vector` are lists. `numeric` and `vector` have a second column NAME_present if
    values may be missing."""
    encoding: str
    """Kind of the encoding, or `as_of` or `context`."""
    cardinality: int | None = None
    """Numbers in use, including the reserved ones; only for `categorical` and `tags`."""
    dimension: int | None = None
    """Length of the vector; only for `vector`."""
    made_of: tuple[str, ...] = ()
    """Features that are combined; only for a cross."""
    figures: dict[str, float] = {}
    """Figures that the selection measured, see `etl/features/selection.py`."""
    left_out: str | None = None
    """Why the selection left the column out; None: it is in the dataset."""


class Vocabulary(Record):
    """A numbering of raw ids. Two are equal exactly if their fingerprints are."""

    size: Annotated[int, Field(ge=0, le=MOST_NUMBERS)]
    """Numbers in use, including the reserved ones."""
    fingerprint: str
    earlier: tuple[tuple[int, str], ...] = ()
    """Sizes and fingerprints in the datasets that this one extends, oldest first; their ids have
    the same numbers here."""

    def goes_on_from(self, other: "Vocabulary") -> bool:
        """Return whether every id of the other one has the same number here."""
        mark = (other.size, other.fingerprint)
        return mark == (self.size, self.fingerprint) or mark in self.earlier


class PrivacyReport(Record):
    """How the people in a dataset are protected."""

    mode: str
    key_id: str | None
    key_check: str | None = None
    """Digits derived from the key, which tell two keys of one name apart."""
    tenant: str
    ids: tuple[str, ...]
    """Kinds of ids that were replaced by pseudonyms."""
    methods: dict[str, str]
    """Method of each field that has a rule, by the field's dotted name."""
    quasi_identifiers: tuple[str, ...] = ()
    k_asked: int | None = None
    """None if there are no quasi-identifiers."""
    k_reached: int | None = None
    """Fewest users that share a combination that is not empty; None if no user has one."""
    rows_generalised: int | None = 0
    """Users whose combination was made coarser than configured; None if an erasure, which does not
    know who of the erased users was among them, came after."""
    rows_suppressed: int | None = 0
    """Users whose combination was emptied; None as above."""
    min_users_per_item: int = 1
    items_of_few_users: int = 0
    """Items that fewer users have since an erasure; they stay in the catalogue."""
    file_names: dict[str, str] = {}
    """The encrypted names of input files, by what stands for them in the ledger; empty if the
    ledger has the names themselves."""


class Manifest(Record):
    """Contents of `datasets/<id>/manifest.json`."""

    contract_version: Literal[3] = CONTRACT_VERSION
    id: str
    request: str
    """Fingerprint of everything that the version was made from."""
    content: str = ""
    """Hash of the content, equal on every cluster; see `conf.workspace.hashes.with_content`."""
    base: str | None = None
    """Id of the dataset whose numbers and encodings this one extends; None: it starts afresh."""
    logical_date: str
    as_of: str
    """Time of the newest event kept: ISO 8601 in UTC, or the order number."""
    config: dict[str, Any]
    columns: dict[str, tuple[Column, ...]]
    """By part: train, valid, test and histories."""
    files: dict[str, tuple[DataFile, ...]]
    """By part: train, valid, test, histories, items, users and quarantine; if configured also
    item_features, user_features, item_neighbours, encoders and impressions."""
    vocabularies: dict[str, Vocabulary]
    """By name: item, user and each feature of histories, whose fingerprint is of its encoding."""
    event_types: tuple[str, ...]
    features: dict[str, tuple[Feature, ...]] = {}
    """By part: item_features, user_features, impressions, histories; in the order of columns."""
    ledger: dict[str, InputLedger]
    fills: dict[str, dict[str, Any]] = {}
    """What replaces missing values, by table and field: `value`, and `groups` by the text of the
    grouping field."""
    counts: dict[str, int]
    cuts: dict[str, str] = {}
    """First instants (ISO 8601 in UTC) of the two parts that a temporal split cuts off, as
    `valid_from` and `test_from`; empty with other splits."""
    leak_check: dict[str, int] = {}
    """Facts that the leak check computed again and found correct, by kind."""
    privacy: PrivacyReport | None = None
    """None if no protection was configured."""

    def row_groups(self, split: str) -> list[RowGroup]:
        """Return the row groups of a split in the order of its files."""
        return [group for file in self.files[split] for group in file.row_groups]


class Bundle(Record):
    """Contents of `models/<id>/bundle.json`: all that scoring needs except the weights."""

    contract_version: Literal[3] = CONTRACT_VERSION
    id: str
    request: str
    logical_date: str
    dataset_id: str
    vocabularies: dict[str, Vocabulary]
    algorithm: str
    """Kind of model: `train.algorithm`."""
    role: str = MAIN
    """What the model is for: `main`, `ranker`, or the name of a channel of candidates."""
    model: dict[str, Any]
    """Settings that the model is built from again; for a neural model those of `train.model`."""
    config: dict[str, Any]
    files: dict[str, tuple[DataFile, ...]]
    learned_from_erased: Literal["no", "yes", "unknown"] | None = None
    """Whether the weights learned from people who were erased since; unknown: the dataset was gone
    when somebody was erased. None: written by a release that did not note it."""


class ListFigures(Record):
    """What is counted in lists of one kind: the default ones, or those of a scenario."""

    counts: dict[str, int | None]
    """None where there was nothing to count, such as seen items with `score.drop_seen: false`."""
    short_lists: dict[str, int]
    """Number of lists that have items, but fewer than asked for, by reason."""
    fallbacks: dict[str, int] = {}
    """Number of lists that are not the model's, by reason."""
    users_without_lists: dict[str, int] = {}
    """Number of users without a list, by reason."""
    rules: dict[str, dict[str, int]] = {}
    """What each rule of `score.rules` did, by its dotted name; empty without rules."""
    figures: dict[str, float | None] = {}
    """What the gates judge, by gate; None without data."""
    diversity: dict[str, float | None] = {}
    """What `score.diversity` changed in sampled lists; empty without it."""
    previous_id: str | None = None
    """Id of the lists that the overlap was measured with; None: there were none to compare."""
    context_without_value: tuple[str, ...] = ()
    """Fields of the context that the ranker takes and that had no sound value, so it was given a
    missing one."""
    channels: dict[str, int] = {}
    """Number of rows whose item each channel of candidates named; a row counts for each of its
    channels."""
    gates: dict[str, bool]
    """Whether each gate let the lists through when they were made."""
    absent: DataFile | None = None
    """The table of the users without a list; None: every user has one."""


class ScenarioLists(ListFigures):
    """What `lists.json` says of the lists of a scenario; their counts are of its users."""

    users_where: str | None = None
    """Condition for the users who are in the scenario; None: all are."""
    list_length: int


class ListsManifest(ListFigures):
    """Contents of `lists/<id>/lists.json`."""

    contract_version: Literal[3] = CONTRACT_VERSION
    id: str
    request: str
    logical_date: str
    dataset_id: str
    model_id: str
    config: dict[str, Any]
    models: dict[str, str] = {}
    """Models of other roles that the lists were made with, by role."""
    scenarios: dict[str, ScenarioLists] = {}
    """What is counted in the lists of each of `score.scenarios`."""
    files: dict[str, tuple[DataFile, ...]]
    """The lists, those of each scenario under `scenarios.<name>`, and those of similar items."""
    similar_items: dict[str, int] | None = None
    """Counts of the lists of items; None: there are none."""
    audiences: dict[str, dict[str, int]] = {}
    """Counts of the lists of users for items, by the name of the audience."""
    basis: dict[str, str] = {}
    """Hash of what all lists of a kind follow from, by the key of `lists_key`; it is missing where
    the lists may change with every version."""


MANIFESTS: dict[str, type[BaseModel]] = {
    "datasets": Manifest, "models": Bundle, "lists": ListsManifest,
}  # fmt: skip


def lists_key(scenario: str | None) -> str:
    """Return the key of lists in `ListsManifest.files`; None: the default lists."""
    return "lists" if scenario is None else f"scenarios.{scenario}"


def catalogue_size(manifest: Manifest) -> int:
    """Return the length of the item axis: all numbers in use, including the reserved ones."""
    return manifest.vocabularies["item"].size
