"""The typed configuration: one YAML a run, every key with its unit and meaning.

The sections `input`, `etl` and `train` have files of their own: `conf/settings/input.py` and so on.
"""

from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from conf.settings.choosing import Compare, Tune, broken_comparison_rules, broken_tuning_rules
from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.privacy import Privacy
from conf.settings.rules import broken_rules
from conf.settings.section import Positive, Section, Share
from conf.settings.train import Train


class Run(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    """First part of every id: letters, digits, - and _."""
    output: str
    """Folder of the workspace: datasets/, models/ and lists/ are made in it."""
    seed: int = 1
    """Seed of everything random."""
    lock_lease_seconds: Positive = 60
    """A lock whose owner has not renewed it for this long may be taken over."""


class Spark(Section):
    master: str | None = "local[2]"
    """null where spark-submit sets it."""
    driver_memory: str = "2g"
    shuffle_partitions: Positive = 8
    conf: dict[str, str] = {}
    """Further settings, as they are."""


class Ray(Section):
    address: str | None = None
    """null starts Ray on this machine for the run; "auto" joins the cluster this runs on."""
    num_cpus: Positive | None = None
    """CPUs that a Ray started here may use; null: all."""
    object_store_mib: Positive = 256
    storage: str | None = None
    """Folder for checkpoints that all nodes see; null: in the workspace."""


class Score(Section):
    workers: Positive = 1
    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[int, Field(ge=0, le=1)] = 0
    list_length: Positive = 10
    block_users: Positive = 512
    """Users scored together."""
    block_items: Positive = 16_384
    """Items scored together: memory goes with block_users times block_items."""
    drop_seen: bool = True
    """Whether items of the user's history are left out, of lists and of the ranking that validation
    and test measure."""
    reasons: Annotated[int, Field(ge=0, le=10)] = 2
    """Most history items named as reasons of one recommended item; 0 for none: a network takes some
    twenty times as long to say why as to make the lists."""
    min_full_share: Share = 0.99
    """Gate: the least share of users whose list has the length asked for."""


class Generate(Section):
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


class Config(Section):
    run: Run
    input: Input
    etl: Etl
    privacy: Privacy = Privacy()
    spark: Spark = Spark()
    ray: Ray = Ray()
    train: Train = Train()
    score: Score = Score()
    compare: Compare = Compare()
    tune: Tune = Tune()
    generate: Generate | None = None

    @model_validator(mode="after")
    def _sections_fit(self) -> "Config":
        problems = broken_rules(self.input, self.etl, self.train, self.privacy)
        problems += broken_comparison_rules(self.train, self.compare)
        problems += broken_tuning_rules(self.tune)
        if problems:
            raise ValueError("; ".join(problems))
        return self
