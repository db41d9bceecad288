"""The section `deliver`: databases, stores and folders that get each published version of lists."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from conf.settings.section import Folder, Name, Positive, Section

DEFAULT_LISTS = "default"
"""Name of the lists of `score` itself among those of scenarios."""
LONGEST_TABLE = 30
_SERVER = r"(\[[^\]]*\]|[^:,\[\]]*)(:\d*)?"
_SERVERS = re.compile(rf"{_SERVER}(,{_SERVER})*")
_IN_OPTIONS = re.compile(r"(/[^?@]*)?\?[^@=]*=.*", re.DOTALL)  # as in /shop?user=a@b

Kept = Annotated[int, Field(ge=0, le=1000)]


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.=/:-]*", text) or "//" in text:
        raise ValueError(
            f"{text!r} is no prefix; use letters, digits and _ . = / : - , beginning with a letter "
            "or digit"
        )
    return text.rstrip("/:")


def _address(url: str) -> str:
    if _is_cut_short(url):
        raise ValueError(
            "has a / ? or # before the @, so its password ends too early; write these characters "
            "of a password as %2F, %3F and %23, also in the variable that it comes from"
        )
    return url


def _is_cut_short(url: str) -> bool:
    """Return whether an @ comes after the part of an address that ends with the server."""
    server, rest = re.fullmatch(r"([^/?#]*)(.*)", url.partition("://")[2], re.DOTALL).groups()  # type: ignore[union-attr]
    if "@" not in rest:
        return False
    has_server = "@" in server or _SERVERS.fullmatch(server)
    return not (has_server and _IN_OPTIONS.fullmatch(rest))


Prefix = Annotated[str, AfterValidator(_prefix)]
Address = Annotated[str, AfterValidator(_address)]


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
    """Folder of the target, relative to the folder in which the command runs. It must be outside of
    the workspace and of `input.root`. Each version has a folder in it, and `CURRENT.json` names
    one."""
    gzip: bool = False
    """Whether the files are compressed."""


class PostgresqlTarget(Target):
    """Tables of a PostgreSQL database."""

    model_config = ConfigDict(serialize_by_alias=True)

    kind: Literal["postgresql"]
    """A table for each version and kind of lists, and a view that shows the current one."""
    url: Address
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
    url: Address
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
