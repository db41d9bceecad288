"""A few rows of each quarantine rule, masked."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from conf.contract import ITEM_ID, USER_ID, Manifest
from etl.report.contents import read_part
from etl.report.data import RuleSamples
from etl.spark.columns import EVENT_TYPE, SOURCE_FILE, TIME, VALUE

MOST_SAMPLES = 5
_SHOWN = 2
_MOST_DOTS = 10
_MASKED = (USER_ID, ITEM_ID, TIME, EVENT_TYPE, VALUE)
_COLUMNS = ("input", "reason", SOURCE_FILE, *_MASKED)


def masked(text: str | None) -> str:
    """Return a value with all but its first two characters replaced by dots.

    At most half of the characters of a short value are shown. At most ten dots are shown.
    """
    if text is None:
        return ""
    shown = min(_SHOWN, len(text) // 2)
    return text[:shown] + "•" * min(len(text) - shown, _MOST_DOTS)


def sample_quarantine(folder: Path, manifest: Manifest) -> list[RuleSamples]:
    """Return each rule with its first rows; in each input, the rule with the most rows first."""
    rows = {
        (name, rule): count
        for name, account in manifest.ledger.items()
        for rule, count in sorted(account.quarantined.items(), key=lambda pair: (-pair[1], pair[0]))
    }
    samples = _first_rows(folder, manifest, rows)
    return [
        RuleSamples(name, rule, count, samples[name, rule]) for (name, rule), count in rows.items()
    ]


def _first_rows(
    folder: Path, manifest: Manifest, rows: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], list[dict[str, str]]]:
    samples: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    wanted = sum(min(count, MOST_SAMPLES) for count in rows.values())
    for batch in read_part(folder, manifest, "quarantine", _COLUMNS):
        rules = list(zip(batch["input"].to_pylist(), batch["reason"].to_pylist(), strict=True))
        for place, rule in enumerate(rules):
            if len(samples[rule]) < MOST_SAMPLES:
                samples[rule].append(_row(batch, place))
                wanted -= 1
        if wanted == 0:
            break
    return samples


def _row(batch: pa.RecordBatch, place: int) -> dict[str, str]:
    (row,) = batch.slice(place, 1).to_pylist()
    return {SOURCE_FILE: row[SOURCE_FILE], **{name: masked(row.get(name)) for name in _MASKED}}
