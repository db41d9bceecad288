"""Fields of past events as features of each step of a history, encoded as for impressions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import HISTORY_CONTEXT, Feature, Vocabulary
from conf.settings.etl import Etl
from conf.settings.features import Categorical, Encoding, TableFeatures
from conf.workspace.hashes import canonical_hash
from etl.features.encoding import Fitted, describe
from etl.features.fitting import fit_all
from etl.features.predecessor import Predecessor
from etl.features.tables import encode_fields
from etl.spark.columns import DRAW, FIELD, PART, PLACE, TRAIN

HISTORIES = "histories"


@dataclass(frozen=True)
class HistoryFeatures:
    """Features of each event in a history, in addition to item, type and time."""

    encodings: Mapping[str, Encoding]
    """By field, in the order of `etl.history_features`."""
    fitted: Mapping[str, Fitted]
    known: Mapping[str, Vocabulary]
    """Vocabularies in the previous dataset, for the fields that extend it."""

    def described(self) -> dict[str, tuple[Feature, ...]]:
        """Return the features by part, as in the manifest; empty if there are none."""
        found = tuple(
            describe(HISTORY_CONTEXT + field, encoding, self.fitted[field])
            for field, encoding in self.encodings.items()
        )
        return {HISTORIES: found} if found else {}

    def fitted_by_part(self) -> dict[str, Mapping[str, Fitted]]:
        """Return the fitted values by part; empty if there are none."""
        return {HISTORIES: self.fitted} if self.fitted else {}

    def encode(self, events: DataFrame, scratch: Path) -> DataFrame:
        """Add a column HISTORY_CONTEXT + field for each field, and masks of numbers.

        Args:
            events: Events with the fields as text, in columns named FIELD + field.
            scratch: Folder for vocabularies; a different one for each call.
        """
        spec = TableFeatures(encodings=dict(self.encodings))
        rows, _ = encode_fields(
            events,
            spec,
            self.fitted,
            prefix=HISTORY_CONTEXT,
            key=PLACE,
            scratch=scratch,
            source_prefix=FIELD,
        )
        return rows

    def vocabularies(self, request: str) -> dict[str, Vocabulary]:
        """Return the vocabulary of each feature: its size and the fingerprint of its encoding.

        The fingerprint of a category does not depend on its values: an erased value could be
        guessed from it.

        Args:
            request: Fingerprint of the dataset's configuration and input.
        """
        features = (feature for part in self.described().values() for feature in part)
        return {
            feature.name: self._vocabulary(field, feature, request)
            for field, feature in zip(self.encodings, features, strict=True)
        }

    def _vocabulary(self, field: str, feature: Feature, request: str) -> Vocabulary:
        size, before = feature.cardinality or 0, self.known.get(field)
        if before is not None and before.size == size:
            return before
        encoding = self.encodings[field]
        made_of = request if isinstance(encoding, Categorical) else self.fitted[field]
        mark = canonical_hash([feature.name, encoding.model_dump(mode="json"), made_of])
        earlier = () if before is None else (*before.earlier, (before.size, before.fingerprint))
        return Vocabulary(size=size, fingerprint=mark, earlier=earlier)


def fit_history_features(
    events: DataFrame, etl: Etl, before: Predecessor | None
) -> HistoryFeatures:
    """Fit the encodings of `etl.history_features` on the acts of the training part.

    Args:
        events: Events with PART, DRAW and the fields as text.
        etl: The section of the configuration.
        before: The dataset that this one extends: its fitted values are kept, and new values of
            categories are numbered after the old ones.
    """
    encodings = {name: etl.features.events.encodings[name] for name in etl.history_features}
    acts = events.where((F.col(PART) == TRAIN) & (F.col(DRAW) == 0))
    fitted = fit_all(acts, encodings, FIELD)
    if before is None:
        return HistoryFeatures(encodings, fitted, {})
    known = before.fitted_fields(HISTORIES, encodings)
    grown = {field: _grown(was, fitted[field], encodings[field]) for field, was in known.items()}
    had = {field: before.manifest.vocabularies[HISTORY_CONTEXT + field] for field in known}
    return HistoryFeatures(encodings, {**fitted, **grown}, had)


def _grown(known: Fitted, fresh: Fitted, encoding: Encoding) -> Fitted:
    """Return the earlier fitted values; new values of a vocabulary are appended."""
    if not isinstance(encoding, Categorical):
        return known
    there = set(known["values"])
    values = [*known["values"], *(value for value in fresh["values"] if value not in there)]
    return {"values": values[: max(encoding.max_size, len(known["values"]))]}
