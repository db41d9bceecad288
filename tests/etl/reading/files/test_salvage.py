import gzip
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.errors import InputError
from tests.etl.making import HEADER, config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z


@pytest.mark.slow
def test_all_lines_of_damaged_files_are_set_aside_and_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", HEADER + ",price", *(f"u,i{n},{START + n},1" for n in range(5)))
    lines = [HEADER, *(f"v{n * 7919},i{n},{START + n}" for n in range(5000))]
    packed = gzip.compress("\n".join(lines).encode())[:-2000]
    (tmp_path / "b.csv.gz").write_bytes(packed)
    pq.write_table(pa.table({"user_id": [1]}), tmp_path / "c.csv")
    write_lines(tmp_path / "d.csv", HEADER, f"w,i1,{START}")
    log = {"paths": ["*.csv", "*.csv.gz"], "damaged_files": "quarantine",
           "columns": {"value": "price"}}  # fmt: skip
    manifest, folder = make(config_for(tmp_path, log, etl={"clean": {"max_bad_share": 1}}))

    readable = zlib.decompressobj(31).decompress(packed).decode().split("\n")
    assert 1000 < len(readable) < len(lines)
    ledger = manifest.ledger["events"]
    assert ledger.quarantined == {"file_damaged": len(readable) + 1}
    assert (ledger.rows_read, ledger.rows_kept) == (len(readable) + 1 + 6, 6)
    assert ledger.files["b.csv.gz"].quarantined == {"file_damaged": len(readable)}
    quarantine = read_part(folder, "quarantine")
    kept = [row["raw"] for row in quarantine if row["source_file"] == "b.csv.gz"]
    assert kept == readable
    assert [row["raw"] for row in quarantine if row["source_file"] == "c.csv"] == [
        "(parquet data of which no line can be read)"
    ]
    gone, wrong, lacking = sorted(ledger.warnings)
    assert gone.startswith("b.csv.gz cannot be unpacked to its end")
    assert wrong.startswith("c.csv contains parquet data, not csv")
    assert lacking == "column price is not in d.csv: null there"


def test_what_stops_a_run_is_told_for_all_inputs_and_before_any_work(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", "user_id,time", "u,1")
    (tmp_path / "items.csv").write_bytes(gzip.compress(b"id\ni\n"))
    items = {"paths": ["items.csv"], "id_column": "id"}
    with pytest.raises(InputError) as caught:
        make(config_for(tmp_path, {"paths": ["a.csv"]}, items=items))
    assert "input.events.log: a.csv: column(s) item_id missing" in str(caught.value)
    assert "input.items: items.csv: contains gzip data" in str(caught.value)
    assert not (tmp_path / "workspace/datasets").exists()
