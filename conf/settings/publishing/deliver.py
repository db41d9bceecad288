"""The section `deliver`: databases, stores and folders that get each published version of lists."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from conf.settings.section import Folder, Name, Positive, Section

DEFAULT_LISTS = "default"
"""Name of the lists of `score` itself among those of scenarios."""
LONGEST_TABLE = 30
_LONGEST_IDENTIFIER = 63  # of PostgreSQL, in bytes
_LONGEST_VERSION = len("_v") + len("000000000000_0123abcd")

Kept = Annotated[int, Field(ge=0, le=1000)]


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.=/:-]*", text) or "//" in text:
        raise ValueError(
            f"{text!r} is no prefix; use letters, digits and _ . = / : - , beginning with a letter "
            "or digit"
        )
    return text.rstrip("/:")


Prefix = Annotated[str, AfterValidator(_prefix)]


class Target(Section):
    """What all targets have in common."""

    lists: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Which lists of users the target gets: `default` for those of `score` itself, and names of
    `score.scenarios`. null: all."""
    similar_items: bool = False
    """Whether the target also gets the lists of `score.similar_items`."""
    audiences: bool = False
    """Whether the target also gets the lists of `score.audiences`."""
    keep: Kept = 2
    """Delivered versions that stay in the target besides the current one, for readers who began
    with an older one, and for a rollback, which then only switches."""
    timeout_seconds: Positive = 30
    """How long to wait for a connection, an answer or a lock of the target."""


class FilesTarget(Target):
    """Files in a local folder, or one that is mounted."""

    kind: Literal["jsonl", "csv"]
    """jsonl: a JSON object a line. csv: comma, double quotes and a header; columns that hold lists
    or texts by language are JSON."""
    path: Folder
    """Folder of the target. Each version has a folder in it, and `CURRENT.json` names one."""
    gzip: bool = False
    """Whether the files are compressed."""


class PostgresqlTarget(Target):
    """Tables of a PostgreSQL database."""

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["postgresql"]
    """A table for each version and kind of lists, and a view that shows the current one."""
    url: str
    """Address, such as `postgresql://USER:PASSWORD@HOST:5432/DATABASE`. Take it, or its password,
    from the environment: `${oc.env:NAME}`."""
    namespace: Annotated[str, Field(alias="schema", pattern=r"^[a-z_][a-z0-9_]{0,40}$")] = "public"
    """Schema of the tables; it is created if it is missing."""
    table: Annotated[str, Field(pattern=rf"^[a-z_][a-z0-9_]{{0,{LONGEST_TABLE - 1}}}$")]
    """Name of the readers' view: at most 30 lower-case letters, digits and _. Views of other lists
    are called `<table>_<scenario>`, `<table>_similar_items` and `<table>_audiences`."""


class RedisTarget(Target):
    """Keys of a Redis or Valkey server."""

    kind: Literal["redis"]
    """A JSON document for each user and kind of lists, and a key that names the current version."""
    url: str
    """Address, such as `redis://:PASSWORD@HOST:6379/0`, or `rediss://` for TLS. Take it, or its
    password, from the environment: `${oc.env:NAME}`."""
    prefix: Prefix = "headrace"
    """Beginning of all keys."""
    ttl_hours: Annotated[int, Field(ge=48, le=24 * 3650)] | None = 96
    """Hours until lists expire. If the target already has the current version, a delivery renews
    them once half of this time is over. So after each delivery they last at least half of it.
    null: they stay until another version replaces them."""


class S3Target(Target):
    """Objects in a bucket of S3, or of a store with the same interface."""

    kind: Literal["s3"]
    """The Parquet files of the lists, and an object `CURRENT.json` that names a version."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """Name of the bucket, which has to exist."""
    prefix: Prefix = "headrace"
    """Beginning of the names of all objects."""
    endpoint_url: Annotated[str, Field(pattern=r"^https?://[^@]+$")] | None = None
    """Address of another store than that of Amazon, such as `http://HOST:9000`; null: Amazon's."""
    region: str | None = None
    """Region of the bucket; null: that of the environment."""
    access_key: str | None = None
    """Access key, by `${oc.env:NAME}`; null: boto3 finds the credentials where it always does, such
    as in AWS_ACCESS_KEY_ID or in the role of the machine."""
    secret_key: str | None = None
    """Secret that belongs to `access_key`, by `${oc.env:NAME}`."""
    part_mib: Annotated[int, Field(ge=5, le=5000)] = 16
    """Files larger than this are uploaded in parts of this size."""


AnyTarget = Annotated[
    FilesTarget | PostgresqlTarget | RedisTarget | S3Target, Field(discriminator="kind")
]


def broken_delivery_rules(
    targets: dict[str, AnyTarget], scenarios: list[str], *, similar_items: bool, audiences: bool
) -> list[str]:
    """Return a message for each broken rule between targets and the lists that there are.

    Args:
        targets: The section, by name.
        scenarios: Names of the scenarios.
        similar_items: Whether there are lists of items.
        audiences: Whether there are audiences.
    """
    known = [DEFAULT_LISTS, *scenarios]
    found = []
    for name, target in targets.items():
        wrong = [one for one in target.lists or () if one not in known]
        if wrong:
            found.append(
                f"deliver.{name}.lists has {wrong[0]!r}, which is no name in score.scenarios; "
                f"there are: {', '.join(known)}"
            )
        for key, is_there in (("similar_items", similar_items), ("audiences", audiences)):
            if getattr(target, key) and not is_there:
                found.append(
                    f"deliver.{name}.{key} is true, but there are none; set score.{key}, or "
                    f"leave deliver.{name}.{key} out"
                )
        if isinstance(target, PostgresqlTarget):
            found += _about_names(name, target, scenarios)
        if isinstance(target, S3Target) and (target.access_key is None) != (
            target.secret_key is None
        ):
            found.append(
                f"deliver.{name}.access_key and deliver.{name}.secret_key belong together; set "
                "both, or neither"
            )
    return found + _shared_places(targets)


def _about_names(name: str, target: PostgresqlTarget, scenarios: list[str]) -> list[str]:
    wanted = (
        scenarios if target.lists is None else [one for one in target.lists if one != "default"]
    )
    too_long = [
        one
        for one in wanted
        if len(f"{target.table}_{one}") + _LONGEST_VERSION > _LONGEST_IDENTIFIER
    ]
    return [
        f"deliver.{name}.table={target.table!r} makes a name of more than {_LONGEST_IDENTIFIER} "
        f"bytes with the scenario {one}; choose a shorter one"
        for one in too_long[:1]
    ]


def _shared_places(targets: dict[str, AnyTarget]) -> list[str]:
    """Two targets in one place would replace each other's lists."""
    taken: dict[tuple[str, ...], str] = {}
    found = []
    for name, target in targets.items():
        place: tuple[str, ...]
        match target:
            case FilesTarget():
                place, told = ("files", str(Path(target.path).resolve())), "path"
            case PostgresqlTarget():
                place, told = ("postgresql", target.url, target.namespace, target.table), "table"
            case RedisTarget():
                place, told = ("redis", target.url, target.prefix), "prefix"
            case _:
                place = ("s3", str(target.endpoint_url), target.bucket, target.prefix)
                told = "prefix"
        if place in taken:
            found.append(
                f"deliver.{name} and deliver.{taken[place]} have one place; give "
                f"deliver.{name}.{told} another value"
            )
        taken[place] = name
    return found
