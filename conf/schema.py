"""The typed configuration: one YAML a run, every key with its unit and meaning.

Longer than most files because the whole tree is read in one place.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
MetricName = Annotated[str, Field(pattern=r"^(hr|ndcg|mrr|map|recall|precision)@[1-9][0-9]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Run(_Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    """First part of every id: letters, digits, - and _."""
    output: str
    """Folder of the workspace: datasets/, models/ and lists/ are made in it."""
    seed: int = 1
    """Seed of everything random."""
    lock_lease_seconds: Positive = 60
    """A lock whose owner has not renewed it for this long may be taken over."""


class Source(_Section):
    """Files of one table."""

    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    """Globs relative to `input.root`, each of which has to match a file. One that matches
    none is tried again with .gz behind it."""
    format: Literal["csv", "jsonl", "parquet", "sequences"] = "csv"
    """`sequences`: one user a line, "user item item ...", oldest item first."""
    separator: str = ","
    """Between the columns of a csv, one or more characters ("\\t", "::")."""
    header: bool = True
    """Whether the first line of each csv file holds the column names."""
    column_names: tuple[str, ...] = ()
    """Names of a csv's columns where it has no header line."""
    encoding: str = "UTF-8"
    """Character set of csv and jsonl files."""
    quote: str = '"'
    """Quote character of a csv; doubled inside quotes it stands for itself; "" for none."""
    multiline: bool = False
    """Whether a quoted csv field may hold line breaks (such a file is not split)."""


class EventColumns(_Section):
    """Names, in the source, of what an event is made of."""

    user_id: str = "user_id"
    item_id: str = "item_id"
    time: str | None = "time"
    """null where the order of the lines is the time."""
    event_type: str | None = None
    """null: every event has the first type of `etl.event_types`."""
    value: str | None = None
    """A number of the event, such as its rating or price."""
    event_id: str | None = None
    """null: two rows equal in all of the above are the same event."""


class EventSource(Source):
    columns: EventColumns = EventColumns()
    time_unit: Literal["seconds", "milliseconds", "microseconds", "iso", "order"]
    """Unit of the time column; `order`: a number that only orders a user's events."""

    @model_validator(mode="after")
    def _time_has_a_source(self) -> "EventSource":
        if self.columns.time is None and self.time_unit != "order":
            raise ValueError(
                "columns.time is null: then the order of lines is the time, and "
                "time_unit has to be 'order'"
            )
        return self


class TableSource(Source):
    id_column: str
    """Column that holds the raw id."""
    title_column: str | None = None
    """Column that is shown to people."""
    feature_columns: tuple[str, ...] = ()
    """Columns kept in the table, as text."""


class Input(_Section):
    root: str
    """Folder that all paths start from."""
    events: EventSource
    items: TableSource | None = None
    users: TableSource | None = None


class EventType(_Section):
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of such an event as a training target."""
    min_value: float | None = None
    """Events with a smaller value, or with none, are dropped."""


class Clean(_Section):
    earliest_time: date = date(1980, 1, 1)
    """Events before this day (UTC) are quarantined: most often a wrong time unit."""
    latest_time: date | None = None
    """Events after this day (UTC) are quarantined as future ones; null: after the day of the
    newest modification of the event files, which cannot hold what came later."""
    allow_negative_value: bool = False
    """Whether a value below zero is right."""
    max_events_per_user_day: Positive | None = None
    """All events of a user who has more than this in one day are dropped as a bot's."""
    max_bad_share: Share = 0.2
    """More than this share of rows in quarantine stops the run."""


class Split(_Section):
    kind: Literal["leave_one_out", "temporal"] = "leave_one_out"
    """leave_one_out: a user's last event is the test, the one before it the validation.
    temporal: two instants cut the log for everybody; a user's first event behind a cut is the
    target, all events before the cut the history."""
    valid_from: date | None = None
    """First day (UTC) of the validation part of a temporal split."""
    test_from: date | None = None
    """First day (UTC) of the test part of a temporal split."""
    valid_share: Share = 0.1
    """Where the days are null: share of events between the two cuts."""
    test_share: Share = 0.1
    """Where the days are null: share of events behind the second cut."""


class Etl(_Section):
    event_types: Annotated[dict[str, EventType], Field(min_length=1)]
    """Types that are used, with their weights; others are dropped."""
    clean: Clean = Clean()
    min_events_per_user: Positive = 1
    """k-core: users with fewer events are dropped, again and again until none is left."""
    min_events_per_item: Positive = 1
    """k-core: items with fewer events are dropped, likewise."""
    repeated_items: Literal["keep", "first", "last"] = "keep"
    """What of several events of one user with one item stays."""
    split: Split = Split()
    window_length: Positive = 50
    """Targets in one training row: longer histories are cut into several rows."""
    windows: Literal["all", "last"] = "all"
    """Whether all windows of a history are trained on, or the newest alone."""
    row_group_rows: Positive = 50_000
    """Most rows in one Parquet row group."""


class Spark(_Section):
    master: str | None = "local[2]"
    """null where spark-submit sets it."""
    driver_memory: str = "2g"
    shuffle_partitions: Positive = 8
    conf: dict[str, str] = {}
    """Further settings, as they are."""


class Ray(_Section):
    address: str | None = None
    """null starts Ray on this machine for the run; "auto" joins the cluster this runs on."""
    num_cpus: Positive | None = None
    """CPUs that a Ray started here may use; null: all."""
    object_store_mib: Positive = 256
    storage: str | None = None
    """Folder for checkpoints that all nodes see; null: in the workspace."""


class Model(_Section):
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


class Loss(_Section):
    kind: Literal["cross_entropy", "sampled_softmax"] = "cross_entropy"
    num_negatives: Positive = 256
    """Sampled softmax: negatives drawn for each position, or for the batch."""
    negatives_for: Literal["position", "batch"] = "position"
    sampling: Literal["uniform", "popularity"] = "uniform"
    """Distribution of the negatives; the logits are corrected for it."""


class Optimizer(_Section):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Not applied to embeddings, norms and biases."""
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    decay: Literal["none", "cosine"] = "none"
    """Of the learning rate after the warm-up, over `train.epochs`."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0


class Train(_Section):
    workers: Positive = 1
    max_workers: Positive = 4
    """Most workers that the dataset should serve: it gets eight row groups for each."""
    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    epochs: Positive = 20
    batch_rows: Positive = 128
    """Rows of one optimiser step over all workers together."""
    shuffle_block_rows: Positive = 50_000
    """Rows of one worker that are shuffled together in memory."""
    stream_threads: Positive = 2
    """Reading threads of each worker."""
    model: Model = Model()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    metric: MetricName = "ndcg@10"
    """Validation figure that chooses the weights and stops the training."""
    patience_epochs: Positive = 5
    """Epochs without a better figure before the training stops."""
    metrics_at: Annotated[tuple[Positive, ...], Field(min_length=1)] = (5, 10, 20)
    eval_batch_rows: Positive = 256
    baselines: tuple[Literal["popularity", "markov"], ...] = ("popularity", "markov")
    checkpoint_every_rounds: Positive = 1
    """Rounds (see the plan of an epoch) between two checkpoints."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Worker deaths that a run survives."""
    collective_timeout_seconds: Positive = 300


class Score(_Section):
    workers: Positive = 1
    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    list_length: Positive = 10
    block_users: Positive = 512
    """Users scored together."""
    block_items: Positive = 16_384
    """Items scored together: memory goes with block_users times block_items."""
    drop_seen: bool = True
    """Whether items of the user's history are left out."""
    reasons: Annotated[int, Field(ge=0, le=10)] = 2
    """Most history items named as reasons of one recommended item; 0 for none."""
    min_full_share: Share = 0.99
    """Gate: the least share of users whose list has the length asked for."""


class Generate(_Section):
    """A made-up shop's log, written to `input.root`."""

    num_users: Positive = 3000
    num_items: Positive = 800
    num_events: Positive = 120_000
    num_days: Positive = 90
    first_day: date = date(2026, 3, 1)
    duplicate_share: Share = 0.01
    missing_user_share: Share = 0.002
    missing_item_share: Share = 0.001
    bad_time_share: Share = 0.001
    future_time_share: Share = 0.001
    negative_price_share: Share = 0.001
    num_redelivered_files: Annotated[int, Field(ge=0)] = 2
    num_bots: Annotated[int, Field(ge=0)] = 1
    bot_events: Positive = 2000


class Config(_Section):
    run: Run
    input: Input
    etl: Etl
    spark: Spark = Spark()
    ray: Ray = Ray()
    train: Train = Train()
    score: Score = Score()
    generate: Generate | None = None

    @model_validator(mode="after")
    def _sections_fit(self) -> "Config":
        if self.etl.split.kind == "temporal" and self.input.events.time_unit == "order":
            raise ValueError(
                "etl.split.kind is 'temporal', but input.events.time_unit is 'order': "
                "an order number has no common time; use leave_one_out"
            )
        if self.etl.clean.max_events_per_user_day and self.input.events.time_unit == "order":
            raise ValueError("etl.clean.max_events_per_user_day is set, but input.events.time_unit "
                             "is 'order', which has no days; set it to null")  # fmt: skip
        if self.train.workers > self.train.max_workers:
            raise ValueError(
                f"train.workers={self.train.workers} is above "
                f"train.max_workers={self.train.max_workers}; raise the latter"
            )
        return self
