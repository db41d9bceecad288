import json
from pathlib import Path

import pytest

from tests.etl.making import HEADER, config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")


def test_logs_of_different_shape_are_merged_into_one(tmp_path: Path) -> None:
    write_lines(tmp_path / "views.csv", HEADER, "u,a,100", "u,b,200", "v,a,300")
    orders = ({"who": "u", "what": "b", "at": "1970-01-01T00:04:00Z"}, {"who": "u", "at": "soon"})
    write_lines(tmp_path / "orders.jsonl", *map(json.dumps, orders))
    columns = {"user_id": "who", "item_id": "what", "time": "at"}
    views = {"paths": ["views.csv"], "time_unit": "seconds"}
    buys = {"paths": ["orders.jsonl"], "format": "jsonl", "time_unit": "iso", "columns": columns,
            "event_type": "buy"}  # fmt: skip
    config = config_for(
        tmp_path,
        logs={"views": views, "orders": buys},
        etl={
            "event_types": {"view": {}, "buy": {}},
            "clean": {"earliest_time": "1970-01-01", "max_bad_share": 0.5},
        },
    )
    manifest, folder = make(config)

    ledger = manifest.ledger["events"]
    assert (ledger.rows_read, ledger.rows_kept, ledger.quarantined) == (5, 4, {"item_missing": 1})
    assert {name: file.rows_read for name, file in ledger.files.items()} == {
        "orders.jsonl": 2, "views.csv": 3,
    }  # fmt: skip
    histories = {len(row["history_time"]): row for row in read_part(folder, "histories")}
    assert [time // 1_000_000 for time in histories[3]["history_time"]] == [100, 200, 240]
    assert histories[3]["history_event_type"] == [0, 0, 1]
