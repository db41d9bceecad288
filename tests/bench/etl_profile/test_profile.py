"""The figures of a profile agree with one another."""

from pathlib import Path

import pytest

from tests.bench.etl_profile.profile import DEMO, TINY_ROWS, profiled, tiny_overrides

pytestmark = pytest.mark.slow
TICK = 0.1  # seconds; clocks of processes count in hundredths


def test_the_figures_of_a_profile_agree(tmp_path: Path) -> None:
    found = profiled(tmp_path, DEMO, tiny_overrides(tmp_path))

    cpu, spark, executions = found["cpu_seconds"], found["spark"], found["executions"]
    threads = cpu["jvm_by_thread"]
    assert found["rows_read"]["events"] == TINY_ROWS
    assert 0 < found["seconds_to_session"] < found["seconds"]
    assert cpu["all"] == pytest.approx(
        cpu["python"] + cpu["jvm"] + cpu["launcher"] + cpu["jvm_after_session"], abs=TICK
    )
    assert sum(threads.values()) == pytest.approx(cpu["jvm"], rel=0.02, abs=TICK)
    assert sum(cpu["jvm_until_session"].values()) < cpu["jvm"]
    assert 0 < cpu["tasks"] <= threads["tasks"] + threads["ended"] + TICK
    assert found["jvm"]["codegen_seconds"] < cpu["jvm"]

    assert [row["execution"] for row in executions] == list(range(spark["executions"]))
    for key in ("tasks", "jobs", "rows_read", "rows_written", "plan_characters"):
        outside = spark["no_execution"].get(key, 0)
        assert sum(row[key] for row in executions) + outside == spark[key]
    task_cpu = sum(row["task_cpu_seconds"] for row in executions)
    assert task_cpu <= cpu["tasks"] + 1e-6
    first = executions[0]
    assert first["name"].startswith("0 cleaning/staging.py:")
    assert first["rows_written"] == TINY_ROWS
    assert first["reads"] == ["events/events.csv"]
    assert all(row["seconds_of_jobs"] <= row["seconds"] + TICK for row in executions)
    assert all("cpu_seconds" in row for row in executions), "an action of the ETL is not watched"
    stored = [set(row["reads"]) for row in executions[1:]]
    again = [set(row["reads_again"]) for row in executions[1:]]
    assert any(again)
    assert all(one <= read for one, read in zip(again, stored, strict=True))
