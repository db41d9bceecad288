from pathlib import Path

import pytest

from tests.etl.making import HEADER, config_for, make, write_lines

pytestmark = pytest.mark.usefixtures("spark")


@pytest.mark.slow
def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", HEADER, *(f"u,i{n},{1_772_323_200 + n}" for n in range(4)))
    first, folder = make(config_for(tmp_path))
    report = (folder / "report.html").read_bytes()
    (folder / "manifest.json").unlink()
    (folder / "train/part-00000.parquet").write_bytes(b"half")
    (folder.parent / f".work-{first.request[:12]}").mkdir()
    again, _ = make(config_for(tmp_path))
    assert again == first
    assert (folder / "report.html").read_bytes() == report
    assert [path.name for path in folder.parent.iterdir()] == [first.id]
