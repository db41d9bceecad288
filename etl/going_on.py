"""The dataset that another one goes on from: its numbers, and what its encodings know."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from conf.contract import ITEM_ID, ITEM_IDX, USER_ID, USER_IDX, Manifest
from conf.workspace import read_manifest
from etl.field_encodings import Fitted


@dataclass(frozen=True)
class Base:
    """A committed dataset."""

    manifest: Manifest
    items: DataFrame
    """ITEM_ID and ITEM_IDX of its catalogue."""
    users: DataFrame
    """USER_ID and USER_IDX of its users."""
    fitted: Mapping[str, Mapping[str, Fitted]]
    """For each part with features, what the encodings of its fields know."""

    def encodings(self, table: str) -> dict[str, Any]:
        """Return how the fields of items, users or events were encoded."""
        found: dict[str, Any] = self.manifest.config["etl"]["features"][table]["encodings"]
        return found


def read_base(spark: SparkSession, workspace: Path, version: str) -> Base:
    """Read a dataset to go on from.

    Raises:
        VersionError: When it is damaged or not there.
    """
    manifest = read_manifest(workspace, "datasets", version, Manifest)
    folder = workspace / "datasets" / version
    files = manifest.files.get("encoders", ())
    return Base(
        manifest=manifest,
        items=_numbers(spark, folder, manifest, "items", ITEM_ID, ITEM_IDX),
        users=_numbers(spark, folder, manifest, "users", USER_ID, USER_IDX),
        fitted={Path(f.path).stem: json.loads((folder / f.path).read_text()) for f in files},
    )


def _numbers(
    spark: SparkSession, folder: Path, manifest: Manifest, part: str, id_column: str, number: str
) -> DataFrame:
    kind = IntegerType() if number == ITEM_IDX else LongType()
    schema = StructType([StructField(number, kind), StructField(id_column, StringType())])
    files = [(folder / file.path).as_uri() for file in manifest.files[part]]
    return spark.read.schema(schema).parquet(*files)
