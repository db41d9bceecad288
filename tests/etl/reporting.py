"""Make what the data report is drawn from: a page's data, and a small dataset on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import DataFile, Manifest
from conf.ledger import Account, InputLedger
from conf.pages.charts import Distribution
from etl.report.data import (
    Anonymity,
    Drift,
    FeatureFigures,
    LongTail,
    MissingField,
    ReportData,
    RuleSamples,
    Shift,
)

QUARANTINE = ("input", "reason", "source_file", "raw", "user_id", "item_id", "time", "event_type",
              "value")  # fmt: skip
LEDGER = {
    "rows_read": 10,
    "rows_kept": 7,
    "dropped": {"bot": 2},
    "quarantined": {"user_missing": 1},
}


def data_for(**changes: Any) -> ReportData:
    """Return the least that a report has, and changes to it."""
    events = Account(rows_read=12_345, rows_kept=9_000, dropped={"duplicate": 3_000},
                     quarantined={"user_missing": 345})  # fmt: skip
    least = ReportData(
        dataset_id="shop-2026-03-01-abc", logical_date="2026-03-01", as_of="2026-03-01T10:00:00Z",
        counts={"users": 1_234, "items": 56, "events": 9_000}, flows={"events": {"events": events}},
        files={"events": {"a.csv": events}}, quarantine=[], cleaning=[], missing=[], long_tail=None,
        activity=[], histories=[], splits={"train": (2, 1_000, 2_048)},
    )  # fmt: skip
    return replace(least, **changes)


def full_data(text: str) -> ReportData:
    """Return data for every section, with `text` wherever words stand."""
    account = Account(rows_read=10, rows_kept=7, dropped={text: 2}, quarantined={text: 1})
    bins = Distribution(text, text, [text, f"{text}2"], {"as read": [5, 3], "kept": [4, 3]}, text)
    names = replace(bins, is_across=True)
    shares = Distribution(text, "", ["a", text], {"previous": [0.5, 0.5], "now": [0.25, 0.75]},
                          is_share=True)  # fmt: skip
    return ReportData(
        dataset_id=text,
        logical_date=text,
        as_of=text,
        counts={"users": 3, "items": 4, "events": 7, text: 1},
        flows={"events": {text: account, "other": account}, text: {text: account}},
        files={text: {text: account}},
        quarantine=[RuleSamples(text, text, 1, [{"source_file": text, text: text}])],
        cleaning=[bins, names],
        missing=[MissingField(text, text, 10, 5, 12, 7)],
        long_tail=LongTail([(0, 0), (0.5, 0.9), (1, 1)], {0.5: 0.9}, 0.4, 4, 7),
        activity=[bins],
        histories=[bins],
        splits={text: (1, 2, 3)},
        features=[FeatureFigures(text, text, False, text, {text: 0.5})],
        warnings=[(text, text)],
        cuts={"valid_from": text, "test_from": text},
        anonymity=Anonymity([text], 5, 7, {text: 2}),
        drift=Drift(text, {text: (1, 2)}, (0.1, 0.2), [Shift(shares, 0.2747)]),
    )


def write_dataset(
    folder: Path,
    *,
    histories: Sequence[tuple[list[int], list[int]]] = (),
    items: Mapping[str, int] = {},
    quarantine: Sequence[tuple[str | None, ...]] = (),
    **changes: Any,
) -> Manifest:
    """Write a dataset's parts as far as the report reads them.

    Args:
        folder: Its folder.
        histories: For each user the types and the hours (since 1970) of the events.
        items: Training events of each item.
        quarantine: Rows with the columns of QUARANTINE.
        **changes: Fields of the manifest.
    """
    types, hours = zip(*histories, strict=True) if histories else ((), ())
    micros = [[hour * 3_600_000_000 + 5 for hour in user] for user in hours]
    lists = {"history_event_type": pa.array(types, pa.list_(pa.int32())),
             "history_time": pa.array(micros, pa.list_(pa.int64()))}  # fmt: skip
    of_items = {"item_id": pa.array(items), "train_events": pa.array(items.values(), pa.int64())}
    columns = list(zip(*quarantine, strict=True)) if quarantine else [[]] * len(QUARANTINE)
    bad = {name: pa.array(values, pa.string())
           for name, values in zip(QUARANTINE, columns, strict=True)}  # fmt: skip
    tables = {"histories": lists, "items": of_items, "quarantine": bad}
    files = {part: (_write(folder, part, pa.table(table)),) for part, table in tables.items()}
    fields = {
        "id": folder.name, "request": "", "logical_date": "2026-03-01", "as_of": "", "config": {},
        "columns": {}, "files": files, "vocabularies": {}, "event_types": ("view", "buy"),
        "ledger": {"events": InputLedger.model_validate(LEDGER)},
        "counts": {"users": len(histories), "items": len(items), "events": sum(map(len, types))},
    }  # fmt: skip
    return Manifest.model_validate({**fields, **changes})


def _write(folder: Path, part: str, table: pa.Table) -> DataFile:
    path = folder / part / "part-00000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    return DataFile(
        path=f"{part}/part-00000.parquet", bytes=path.stat().st_size, sha256="",
        rows=table.num_rows,
    )  # fmt: skip
