"""The dataset that another one goes on from: its numbers, and what its encodings know."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from conf.contract import ITEM_ID, ITEM_IDX, USER_ID, USER_IDX, Manifest
from conf.errors import ConfigError
from conf.privacy.protection import Protection
from conf.settings.config import Config
from conf.settings.features import Encoding, TableFeatures
from conf.settings.input import TableSource
from conf.workspace.versions import read_manifest
from etl.features.encoding import Fitted


@dataclass(frozen=True)
class Predecessor:
    """A committed dataset."""

    manifest: Manifest
    items: DataFrame
    """ITEM_ID and ITEM_IDX of its catalogue."""
    users: DataFrame
    """USER_ID and USER_IDX of its users."""
    fitted: Mapping[str, Mapping[str, Fitted]]
    """For each part with features, what the encodings of its fields know."""

    def fitted_to(self, part: str, table: str, spec: TableFeatures) -> dict[str, Fitted] | None:
        """Return what the encodings of items, users or events know, None if they were others."""
        before = self.manifest.config["etl"]["features"][table]["encodings"]
        known = self.fitted.get(part)
        is_same = before == spec.model_dump(mode="json")["encodings"]
        return dict(known) if is_same and known is not None else None

    def fitted_fields(self, part: str, encodings: Mapping[str, Encoding]) -> dict[str, Fitted]:
        """Return what the encodings of a part's events' fields know, of those that are the same."""
        before = self.manifest.config["etl"]["features"]["events"]["encodings"]
        known = self.fitted.get(part, {})
        return {
            field: known[field]
            for field, encoding in encodings.items()
            if field in known and before.get(field) == encoding.model_dump(mode="json")
        }

    def fills_of(self, table: str, source: TableSource | None) -> dict[str, Any] | None:
        """Return what stands in for missing values of items or users, None if fields differ."""
        before = self.manifest.config["input"][table]
        is_same = (
            before is not None
            and source is not None
            and before["fields"] == source.model_dump(mode="json")["fields"]
        )
        return self.manifest.fills.get(table, {}) if is_same else None


def require_same_ids(before: Predecessor, config: Config, protection: Protection) -> None:
    """Refuse to go on with ids that are none of this configuration's.

    Raises:
        ConfigError: When the ids were raw then and are labels now, or labels of another key.
    """
    was = before.manifest.privacy
    then = (was.ids, was.key_id, was.tenant) if was is not None and was.ids else None
    now = None
    if protection.has_pseudonyms and protection.keys is not None:
        privacy = config.privacy
        now = (privacy.ids, protection.keys.key_id, privacy.tenant)
    if then != now:
        raise ConfigError(
            "etl.vocabulary is 'extend', but the ids of dataset "
            f"{before.manifest.id} are {_told(then)}, and these would be {_told(now)}; "
            "run once with etl.vocabulary=fresh"
        )


def _told(ids: tuple[tuple[str, ...], str | None, str] | None) -> str:
    if ids is None:
        return "those of the log"
    kinds, key_id, tenant = ids
    return f"labels of {' and '.join(kinds)} (key {key_id}, tenant {tenant!r})"


def read_predecessor(spark: SparkSession, workspace: Path, version: str) -> Predecessor:
    """Read a dataset to go on from.

    Raises:
        VersionError: When it is damaged or not there.
    """
    manifest = read_manifest(workspace, "datasets", version, Manifest)
    folder = workspace / "datasets" / version
    files = manifest.files.get("encoders", ())
    return Predecessor(
        manifest=manifest,
        items=_numbers(spark, folder, manifest, "items", ITEM_ID, ITEM_IDX),
        users=_numbers(spark, folder, manifest, "users", USER_ID, USER_IDX),
        fitted={Path(f.path).stem: json.loads((folder / f.path).read_bytes()) for f in files},
    )


def _numbers(
    spark: SparkSession, folder: Path, manifest: Manifest, part: str, id_column: str, number: str
) -> DataFrame:
    kind = IntegerType() if number == ITEM_IDX else LongType()
    schema = StructType([StructField(number, kind), StructField(id_column, StringType())])
    files = [(folder / file.path).as_uri() for file in manifest.files[part]]
    return spark.read.schema(schema).parquet(*files)
