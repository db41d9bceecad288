"""Executors that are killed in the middle of a run, with what their tasks had written."""

import random
import sys
from pathlib import Path

import pytest

from tests.etl.cluster import QUICK, cluster_of_two, kill_in_each_job, result_of, start_etl
from tests.etl.making import DAY, config_for, make, write_lines, written_to

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.usefixtures("spark")]
START = 1_772_323_200  # 2026-03-01T00:00:00Z
LOG = {"paths": ["*.csv"], "columns": {"event_id": "order"}}
ETL = {"clean": {"max_bad_share": 0.5, "latest_time": "2026-04-01"}, "leak_check": None,
       "min_events_per_user": 2}  # fmt: skip


def write_log(root: Path) -> int:
    """Write two files with faults, and return how many rows they have."""
    draw, rows = random.Random(5), []
    for number in range(3000):
        user, item = f"u{draw.randrange(200)}", f"i{int(draw.paretovariate(1)) % 40}"
        rows.append(f"{user},{item},{START + draw.randrange(10 * DAY)},o{number}")
    rows += [rows[0], ",i1,1772323200,o1", "u1,i1,soon,o2", "u1;i1", "u2 ,i\ufffd,1772323200,o3"]
    for name, part in (("a", rows[::2]), ("b", rows[1::2])):
        write_lines(root / f"{name}.csv", "user_id,item_id,time,order", *part)
    return len(rows)


def test_executors_that_are_killed_in_each_job_change_no_byte(tmp_path: Path) -> None:
    num_rows = write_log(tmp_path / "raw")
    whole = config_for(tmp_path / "raw", LOG, etl=ETL, run={"output": str(tmp_path / "whole")})
    make(whole)
    events = tmp_path / "events"
    events.mkdir()
    with cluster_of_two(tmp_path, {}) as master:
        conf = {
            "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
            "spark.executor.memory": "512m", "spark.executor.cores": "1",
            "spark.executor.extraJavaOptions": f"-Duser.timezone=UTC {QUICK}",
            "spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{events}",
            "spark.eventLog.compress": "false", "spark.local.dir": str(tmp_path / "local"),
            # Else small files are one task, and half of the executors have nothing to lose.
            "spark.sql.files.maxPartitionBytes": "20000", "spark.sql.shuffle.partitions": "2",
            "spark.sql.leafNodeDefaultParallelism": "2",
        }  # fmt: skip
        broken = config_for(
            tmp_path / "raw", LOG, etl=ETL, run={"output": str(tmp_path / "broken")},
            spark={"master": master, "driver_memory": "1g", "conf": conf},
        )  # fmt: skip
        run = start_etl([sys.executable], broken.model_dump(mode="json"), tmp_path)
        kills = kill_in_each_job(tmp_path, events, run)
        result_of(run)
    manifest, files = written_to(tmp_path / "whole")
    other, other_files = written_to(tmp_path / "broken")
    assert (other.id, other.content, other.ledger) == (
        manifest.id,
        manifest.content,
        manifest.ledger,
    )
    assert other.ledger["events"].rows_read == num_rows
    assert other_files == files
    log = "".join(path.read_text() for path in events.rglob("events_*"))
    assert kills > 5 and log.count('"SparkListenerExecutorRemoved"') >= kills
    assert '"Stage Attempt ID":1' in log  # stages ran again
