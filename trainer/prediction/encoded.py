"""Encode values of events' fields as the dataset was encoded: from its saved encodings."""

import math
from pathlib import Path
from typing import Any

from conf.contract import UNKNOWN_IDX, Manifest
from conf.errors import ConfigError
from conf.settings.features import Bucketed, Categorical, Numeric, TableFeatures
from conf.workspace.json_files import read_json

_FILE = "encoders/impressions.json"


def code_of(
    folder: Path, manifest: Manifest, field: str, value: Any, *, is_strict: bool = True
) -> int:
    """Return the code of a value of a categorical field.

    Args:
        folder: Folder of the dataset.
        manifest: Its manifest.
        field: The field.
        value: Its value.
        is_strict: Whether a value that the vocabulary lacks is an error; otherwise it gets the
            first code of unknown values.

    Raises:
        ConfigError: When the field has no vocabulary or bounds, or the vocabulary lacks the value.
    """
    encoding, fitted = _encoding(manifest, field), _fitted(folder, field)
    if isinstance(encoding, Bucketed):
        number = _number(field, value)
        return UNKNOWN_IDX + 1 + sum(bool(number >= bound) for bound in fitted["bounds"])
    if not isinstance(encoding, Categorical):
        raise ConfigError(
            f"score.context.{field}={value!r}: the field is encoded as {_kind(encoding)}, of which "
            "a single value cannot be given; use categorical, bucketed or numeric, or leave it out"
        )
    known = [one for one in fitted["values"] if one is not None]
    if str(value) not in known and not is_strict:
        return UNKNOWN_IDX
    if str(value) not in known:
        raise ConfigError(
            f"score.context.{field}={value!r} is no value that the dataset knows: it has "
            f"{', '.join(map(repr, known[:10]))}{', ...' if len(known) > 10 else ''}"
        )
    return UNKNOWN_IDX + encoding.oov_buckets + int(fitted["values"].index(str(value)))


def number_of(folder: Path, manifest: Manifest, field: str, value: Any) -> float:
    """Return the scaled number of a value of a numeric field.

    Raises:
        ConfigError: When the value is no number, or the field no numeric one.
    """
    encoding, number = _encoding(manifest, field), _number(field, value)
    if not isinstance(encoding, Numeric):
        raise ConfigError(
            f"score.context.{field}={value!r}: the field is encoded as {_kind(encoding)}, of which "
            "a single value cannot be given; leave it out"
        )
    if encoding.scale == "none":
        return number
    if encoding.scale == "log_standard":
        number = math.copysign(math.log1p(abs(number)), number)
    fitted = _fitted(folder, field)
    return (number - float(fitted["mean"])) / float(fitted["deviation"])


def _number(field: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"score.context.{field}={value!r} is no number, but the field is one")
    return number


def _encoding(manifest: Manifest, field: str) -> Any:
    events = manifest.config["etl"]["features"]["events"]
    return TableFeatures.model_validate(events).encodings.get(field)


def _kind(encoding: Any) -> str:
    return "a cross" if encoding is None else str(encoding.kind)


def _fitted(folder: Path, field: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(folder / _FILE).get(field, {})
    return found
