"""What killed and refused runs leave: half-written tables, work elsewhere, ids in warnings."""

import shutil
from pathlib import Path

import pytest

from conf.errors import VersionError
from conf.runs.managing import run_erase
from tests.conf.erasable import (
    DATASET,
    GONE,
    NAMES,
    config_of,
    everything_in,
    rows_of,
    write_identities,
)


def cut_off(path: Path) -> None:
    """Leave the beginning of a file, as a kill may."""
    path.write_bytes(path.read_bytes()[:-20])


def test_tables_that_a_kill_cut_off_go_whole(workspace: Path, users: Path) -> None:
    """Nobody can say whose rows they have."""
    refused = workspace / "datasets/refused-1/quarantine/part-00000.parquet"
    refused.parent.mkdir(parents=True)
    shutil.copy(next((workspace / "datasets" / DATASET / "quarantine").iterdir()), refused)
    table = write_identities(workspace, NAMES, NAMES)
    uncommitted = workspace / "identities/tiny-2026-01-31-0123456789ab/part-00000.parquet"
    uncommitted.parent.mkdir()
    shutil.copy(table, uncommitted)
    for path in (refused, uncommitted):
        cut_off(path)

    result = run_erase(config_of(workspace), users)

    assert result["found"] == 3
    assert not refused.exists() and not uncommitted.exists()
    assert [row["raw_id"] for row in rows_of(workspace, "identities", DATASET)] == [
        NAMES[0], NAMES[1], NAMES[4],
    ]  # fmt: skip
    found = everything_in(workspace).replace(f"{NAMES[5]}9", "").replace(f"{NAMES[2]}0", "")
    assert not [name for name in GONE if name in found]


def test_a_damaged_table_of_a_dataset_is_no_leaving(workspace: Path, users: Path) -> None:
    table = write_identities(workspace, NAMES, NAMES)
    cut_off(table)
    with pytest.raises(VersionError, match=r"identities.*is damaged"):
        run_erase(config_of(workspace), users)
    assert table.exists()
