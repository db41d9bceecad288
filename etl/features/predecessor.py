"""The dataset that a new one extends: its id numbering and its fitted encodings."""

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
from conf.workspace.json_files import read_named
from conf.workspace.versions import read_manifest
from etl.features.encoding import Fitted
from etl.spark.paths import locations


@dataclass(frozen=True)
class Predecessor:
    """A committed dataset."""

    manifest: Manifest
    items: DataFrame
    """ITEM_ID and ITEM_IDX of its catalogue."""
    users: DataFrame
    """USER_ID and USER_IDX of its users."""
    fitted: Mapping[str, Mapping[str, Fitted]]
    """Fitted values of the fields, for each part with features."""

    def fitted_to(self, part: str, table: str, spec: TableFeatures) -> dict[str, Fitted] | None:
        """Return the fitted values of items, users or events, None if the encodings differ."""
        before = self.manifest.config["etl"]["features"][table]["encodings"]
        known = self.fitted.get(part)
        is_same = before == spec.model_dump(mode="json")["encodings"]
        return dict(known) if is_same and known is not None else None

    def fitted_fields(self, part: str, encodings: Mapping[str, Encoding]) -> dict[str, Fitted]:
        """Return the fitted values of a part's event fields whose encodings are the same."""
        before = self.manifest.config["etl"]["features"]["events"]["encodings"]
        known = self.fitted.get(part, {})
        return {
            field: known[field]
            for field, encoding in encodings.items()
            if field in known and before.get(field) == encoding.model_dump(mode="json")
        }

    def fills_of(self, table: str, source: TableSource | None) -> dict[str, Any] | None:
        """Return the fill values of items or users, None if the declared fields differ."""
        before = self.manifest.config["input"][table]
        is_same = (
            before is not None
            and source is not None
            and before["fields"] == source.model_dump(mode="json")["fields"]
        )
        return self.manifest.fills.get(table, {}) if is_same else None


def require_same_ids(before: Predecessor, config: Config, protection: Protection) -> None:
    """Refuse to extend a dataset whose ids this configuration would not produce.

    Raises:
        ConfigError: When only one of the two has raw ids, or the pseudonyms differ in kind, key or
            tenant.
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
            f"{before.manifest.id} are {_told(then)}, and the new ones would be {_told(now)}; "
            "run once with etl.vocabulary=fresh"
        )


def _told(ids: tuple[tuple[str, ...], str | None, str] | None) -> str:
    if ids is None:
        return "the ids of the log"
    kinds, key_id, tenant = ids
    return f"pseudonyms of {' and '.join(kinds)} (key {key_id}, tenant {tenant!r})"


def read_predecessor(spark: SparkSession, workspace: Path, version: str) -> Predecessor:
    """Read a dataset to extend.

    Raises:
        VersionError: When it is damaged or missing.
    """
    manifest = read_manifest(workspace, "datasets", version, Manifest)
    folder = workspace / "datasets" / version
    files = manifest.files.get("encoders", ())
    return Predecessor(
        manifest=manifest,
        items=_numbers(spark, folder, manifest, "items", ITEM_ID, ITEM_IDX),
        users=_numbers(spark, folder, manifest, "users", USER_ID, USER_IDX),
        fitted={Path(f.path).stem: read_named(folder / f.path, f) for f in files},
    )


def _numbers(
    spark: SparkSession, folder: Path, manifest: Manifest, part: str, id_column: str, number: str
) -> DataFrame:
    kind = IntegerType() if number == ITEM_IDX else LongType()
    schema = StructType([StructField(number, kind), StructField(id_column, StringType())])
    files = locations([folder / file.path for file in manifest.files[part]])
    return spark.read.schema(schema).parquet(*files)
