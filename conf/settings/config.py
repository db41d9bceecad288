"""The typed configuration: one YAML file per run, every key with its unit and meaning.

The larger sections have files of their own in this folder, such as `input.py` and `train.py`.
"""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from conf.settings.choosing import Compare, Tune, broken_comparison_rules, broken_tuning_rules
from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.privacy import Privacy
from conf.settings.publishing.deliver import AnyTarget
from conf.settings.publishing.outcome import Outcome
from conf.settings.publishing.publish import Publish
from conf.settings.publishing.retention import Retention
from conf.settings.publishing.target_rules import broken_delivery_rules
from conf.settings.rules import broken_rules
from conf.settings.rules.candidates import broken_candidate_rules
from conf.settings.rules.lists import broken_list_rules
from conf.settings.rules.outcome import broken_outcome_rules
from conf.settings.rules.roles import broken_ranker_rules
from conf.settings.rules.scenarios import broken_scenario_rules
from conf.settings.rules.scoring import broken_score_rules
from conf.settings.score import Score
from conf.settings.section import Folder, Name, Positive, Section, Share, Workspace
from conf.settings.train import Ranker, Train


def _umask(value: object) -> object:
    if value is None or (isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value)):
        return value
    # Without quotes, YAML reads 077 as the number 63.
    raise ValueError(
        'write three octal digits in quotes, such as umask: "077"; in a shell \'run.umask="077"\''
    )


class Run(Section):
    """What names a run and its versions, and where they are written."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    """First part of every version's id: 1 to 40 letters, digits, `-` and `_`."""
    output: Workspace
    """Folder of the workspace; `datasets/`, `models/` and `lists/` are created in it."""
    seed: int = 1
    """Seed of all random choices. What `headrace tune` tries next has its own: `tune.seed`."""
    lock_lease_seconds: Positive = 60
    """Seconds after which another run may take over a lock that its owner has not renewed."""
    verify: Literal["sizes", "checksums"] = "sizes"
    """What is checked of a version that is there already, before it is published or gone back to.
    sizes: the sizes of its files, and the footers of Parquet files. checksums: all of their
    content, which takes the time to read it."""
    umask: Annotated[str | None, BeforeValidator(_umask)] = None
    """Permissions that new files and folders do not get, as an octal number in quotes: with `"077"`
    only their owner can open them, with `"027"` the group can read them too. null: the umask of
    the process. Quarantine, `identities/` and `erased/` are always for their owner alone."""


class Spark(Section):
    """The Spark session of the ETL."""

    master: str | None = "local[2]"
    """Spark's master, such as `local[2]` or `spark://HOST:7077`; null if spark-submit sets it."""
    driver_memory: str = "2g"
    """Heap of the driver's JVM in Spark's notation; no effect if spark-submit starts the JVM."""
    shuffle_partitions: Positive = 8
    """Partitions of every shuffle; 1 instead if less than 1 MiB is read, unless `conf` sets
    spark.sql.shuffle.partitions."""
    conf: dict[str, str] = {}
    """Further Spark properties, passed on unchanged, such as `{spark.local.dir: /scratch}`. They
    override the properties that Headrace sets."""


class Ray(Section):
    """Ray, which runs the training and the scoring: started for the run, or a cluster."""

    address: str | None = None
    """Cluster to join, or `auto` for the cluster that this machine belongs to, never a Ray that
    another run has started for itself. null: the cluster in the variable RAY_ADDRESS; without one,
    Ray is started on this machine for the run."""
    num_cpus: Positive | None = None
    """CPUs that a Ray started for the run may use; null: all. No effect with `ray.address`."""
    object_store_mib: Positive = 256
    """Size in MiB of the object store of a Ray started for the run. No effect with
    `ray.address`."""
    start_timeout_seconds: Positive = 300
    """Seconds that a Ray started for the run may take to start; on a busy machine it takes long.
    No effect with `ray.address`."""
    worker_niceness: Annotated[int, Field(ge=0, le=19)] = 0
    """Niceness that is added to the workers of a Ray started for the run. 0: they have the priority
    of the command itself. 15, which is Ray's own default, starves them next to other work. No
    effect with `ray.address`."""
    storage: Folder | None = None
    """Folder for checkpoints that all nodes can read and write; null: in the workspace."""


class Generate(Section):
    """Size and faults of the made-up log that `headrace generate` writes to `input.root`."""

    num_users: Positive = 3000
    """Users of the shop, without the bots."""
    num_items: Positive = 800
    """Items of the shop."""
    num_events: Positive = 120_000
    """Approximate number of correct events. Faulty rows and bots come on top."""
    num_days: Positive = 90
    """Days that the log covers, one file per day."""
    first_day: date = date(2026, 3, 1)
    """First day of the log (UTC)."""
    duplicate_share: Share = 0.01
    """Exact copies of correct events, as a share of the correct events."""
    missing_user_share: Share = 0.002
    """Extra rows without a user id, as a share of the correct events."""
    missing_item_share: Share = 0.001
    """Extra rows without an item id, as a share of the correct events."""
    bad_time_share: Share = 0.001
    """Extra rows without a readable time, as a share of the correct events."""
    future_time_share: Share = 0.001
    """Extra rows with a time in the future, as a share of the correct events."""
    negative_price_share: Share = 0.001
    """Extra rows with a negative price, as a share of the correct events."""
    num_redelivered_files: Annotated[int, Field(ge=0)] = 2
    """Files that are delivered a second time under another name."""
    num_bots: Annotated[int, Field(ge=0)] = 1
    """Users with far too many events on one day."""
    bot_events: Positive = 2000
    """Events of each bot, all on one day; at most 86400, one per second."""


class Config(Section):
    """The whole file."""

    run: Run
    """Name, workspace and seed of the run."""
    input: Input
    """The raw log and the tables of items and users."""
    etl: Etl
    """How rows become a dataset."""
    privacy: Privacy = Privacy()
    """Which data of a person may be read, stored and shown."""
    spark: Spark = Spark()
    """The Spark session of the ETL."""
    ray: Ray = Ray()
    """The Ray of training and scoring."""
    train: Train = Train()
    """The model and its training."""
    ranker: Ranker | None = None
    """A ranking model that orders the candidates of the main one; null: none. Needs
    `etl.impressions`."""
    score: Score = Score()
    """The recommendation lists."""
    deliver: dict[Name, AnyTarget] = {}
    """Where each published version of the lists is delivered to, by a name of your own."""
    publish: Publish = Publish()
    """Who sees new lists."""
    retention: Retention = Retention()
    """What `headrace gc` keeps."""
    outcome: Outcome = Outcome()
    """What `headrace outcome` counts."""
    compare: Compare = Compare()
    """What `headrace compare` measures."""
    tune: Tune = Tune()
    """What `headrace tune` tries."""
    generate: Generate | None = None
    """The made-up log of `headrace generate`; null: there is none to generate."""

    @model_validator(mode="after")
    def _sections_fit(self) -> "Config":
        problems = broken_rules(self.input, self.etl, self.train, self.privacy)
        problems += broken_ranker_rules(self.input, self.etl, self.train, self.ranker)
        problems += broken_comparison_rules(self.train, self.compare)
        problems += broken_tuning_rules(self.tune)
        problems += self._broken_by(self.score)
        problems += broken_scenario_rules(self.score, self._broken_by)
        problems += broken_delivery_rules(
            self.deliver,
            [*self.score.scenarios],
            similar_items=self.score.similar_items is not None,
            audiences=bool(self.score.audiences),
            folders={"run.output": self.run.output, "input.root": self.input.root},
        )
        problems += broken_outcome_rules(self.input, self.etl, self.outcome)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _broken_by(self, score: Score) -> list[str]:
        """Return a message for each broken rule between lists and the other sections."""
        return [
            *broken_candidate_rules(self.input, self.etl, self.train, self.ranker, score),
            *broken_score_rules(self.input, self.train, self.privacy, score),
            *broken_list_rules(self.input, self.etl, score),
        ]
