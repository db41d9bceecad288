"""Encode the fields of the items and users tables, fitted on the training part only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyspark.sql import DataFrame

from conf.contract import Feature
from conf.settings.features import Selection, TableFeatures
from etl.features.encoding import PRESENT, Fitted, cross, describe, encode
from etl.features.fitting import fit_all
from etl.features.sample import Sample, correlations, draw_sample
from etl.features.selection import Figures, choose, measure
from etl.spark.folders import store


@dataclass(frozen=True)
class Encoded:
    """An encoded table, its fitted values, and the statistics of its features."""

    rows: DataFrame
    keys: tuple[str, ...]
    fitted: dict[str, Fitted]
    features: tuple[Feature, ...]
    figures: Figures
    correlated: dict[tuple[str, str], float]
    sample: Sample
    """Rows of the training part on which statistics are computed."""

    def chosen(self, rules: Selection, information: Mapping[str, float]) -> "Encoded":
        """Return the table after feature selection, without the columns that are left out."""
        figures = {
            name: {**own, "mutual_information": information[name]} if name in information else own
            for name, own in self.figures.items()
        }
        features = choose(self.features, figures, self.correlated, rules)
        kept = [feature for feature in features if feature.left_out is None]
        columns = feature_columns(kept, self.rows.columns)
        return replace(self, rows=self.rows.select(*self.keys, *columns), features=features)


def encode_table(
    rows: DataFrame,
    spec: TableFeatures,
    *,
    prefix: str,
    key: str,
    is_training: str,
    scratch: Path,
    fitted: Mapping[str, Fitted] | None = None,
) -> Encoded:
    """Encode a table.

    Args:
        rows: `key`, the fields as text and `is_training`, one row per key.
        spec: The features.
        prefix: Prefix of their names.
        key: Column with our number of the user or item.
        is_training: Boolean column: whether the row's key occurs in the training part.
        scratch: Folder for the encoded rows and for vocabularies.
        fitted: Fitted values of an earlier dataset; None to fit them here.

    Returns:
        All rows with `key` and the features; the statistics are those of the training part.
    """
    if fitted is None:
        fitted = fit_all(rows.where(is_training), spec.encodings)
    rows, features = encode_fields(
        rows, spec, fitted, prefix=prefix, key=key, scratch=scratch / "vocabularies"
    )
    columns = feature_columns(features, rows.columns)
    encoded = store(rows.select(key, is_training, *columns), scratch / "encoded")
    return examined(
        encoded,
        encoded.where(is_training),
        features,
        (key,),
        dict(fitted),
        row_key=key,
        scratch=scratch / "sample",
    )


def examined(
    rows: DataFrame,
    training: DataFrame,
    features: Sequence[Feature],
    keys: tuple[str, ...],
    fitted: dict[str, Fitted],
    *,
    row_key: str,
    scratch: Path,
    also: Sequence[str] = (),
) -> Encoded:
    """Return an encoded table with statistics of its training part.

    Args:
        rows: The encoded rows.
        training: Those of the training part.
        features: The features.
        keys: Columns that are not features but are kept.
        fitted: Fitted values of the encodings.
        row_key: Column that identifies a row.
        scratch: Folder for a sample.
        also: Other columns that the sample needs.
    """
    sample = draw_sample(training, features, [row_key], scratch, also)
    figures = measure(training, features, row_key, sample.table)
    correlated = correlations(sample.table, features)
    return Encoded(rows, keys, fitted, tuple(features), figures, correlated, sample)


def encode_fields(
    rows: DataFrame,
    spec: TableFeatures,
    fitted: Mapping[str, Fitted],
    *,
    prefix: str,
    key: str,
    scratch: Path,
    source_prefix: str = "",
) -> tuple[DataFrame, list[Feature]]:
    """Add all encoded fields and crosses, and return their descriptions too.

    Args:
        rows: Rows with the fields, in columns named `source_prefix` + field.
        spec: The features.
        fitted: Fitted values of each field's encoding.
        prefix: Prefix of the features' names.
        key: Column that identifies a row.
        scratch: Folder for vocabularies.
        source_prefix: Prefix of the fields' column names.
    """
    features = []
    for field, encoding in spec.encodings.items():
        name = prefix + field
        rows = encode(
            rows, source_prefix + field, name, encoding, fitted[field], key=key, scratch=scratch
        )
        features.append(describe(name, encoding, fitted[field]))
    for name, crossed in spec.crosses.items():
        parts = [prefix + field for field in crossed.of]
        rows = cross(rows, parts, prefix + name, crossed.hash_buckets)
        features.append(describe(prefix + name, crossed, {}, parts))
    return rows, features


def feature_columns(features: Sequence[Feature], present: Sequence[str]) -> list[str]:
    """Return the columns of features: their values, and the marks of present values."""
    names = [name for f in features for name in (f.name, f.name + PRESENT)]
    return [name for name in names if name in present]
