"""The process's time zone and language change nothing that is read."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from tests.etl.making import write_lines
from tests.packaging.checkout import CHECKOUT

_READ_ALL = """
import json, sys
from pathlib import Path
from etl.spark.session import spark_session
from tests.etl.read_rows import read
root = Path(sys.argv[1])
columns = {"user_id": "user", "item_id": "item", "time": "time"}
with spark_session(
    name="elsewhere", master="local[1]", driver_memory="1g", shuffle_partitions=1,
    conf={"spark.local.dir": str(root)}, log_path=root / "spark.log", input_bytes=0,
) as spark:
    rows = [
        read(spark, root, root / f"a.{kind}", columns=columns, format=kind, match_case=False)
        for kind in ("csv", "parquet", "orc")
    ]
print(json.dumps([[row[2:] for row in part] for part in rows]))
"""


@pytest.mark.slow
def test_another_time_zone_and_language_give_the_same_rows(tmp_path: Path) -> None:
    # Both hours that New York's clocks pass over and go through twice.
    texts = ["2026-03-08 02:30:00", "2026-11-01 01:30:00", "2026-06-01 12:00:00"]
    items = ["TITLE", "\u0130", "\u0131"]
    write_lines(tmp_path / "a.csv", "USER,ITEM,TIME",
                *(f"u,{item},{text}" for item, text in zip(items, texts, strict=True)))  # fmt: skip
    times = pa.array(map(datetime.fromisoformat, texts), pa.timestamp("us"))
    table = pa.table({"user": ["u"] * 3, "item": items, "time": times})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    orc.write_table(table, tmp_path / "a.orc")
    elsewhere = {"TZ": "America/New_York", "LC_ALL": "tr_TR.UTF-8",
                 "JAVA_TOOL_OPTIONS": "-Duser.language=tr -Duser.country=TR"}  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", _READ_ALL, str(tmp_path)],
        capture_output=True, text=True, cwd=CHECKOUT,
        env={**os.environ, **elsewhere},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    expected = [["u", item, text] for item, text in zip(items, texts, strict=True)]
    assert json.loads(run.stdout.splitlines()[-1]) == [expected] * 3
