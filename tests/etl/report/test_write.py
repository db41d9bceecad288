"""The report of a dataset that the stage makes."""

import re
from pathlib import Path

import pytest

from conf.runs.stages import run_etl
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from tests.etl.making import config_for, make, write_lines
from tests.etl.reporting import write_dataset

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z, a Sunday
HOSTILE = "<script>alert(1)</script>"


def sections(html: str) -> dict[str, str]:
    """Return the text of each section without tags, blanks as one."""
    found = re.findall(r'<section id="([\w-]+)"(.*?)</section>', html, flags=re.DOTALL)
    return {name: " ".join(re.sub(r"<[^>]*>", " ", text).split()) for name, text in found}


def test_a_dataset_has_a_report_of_its_rows_and_of_what_has_changed(tmp_path: Path) -> None:
    lines = [f"u{n % 4},i{n % 5 if n % 3 else 0},{START + n * 3600},view,{n or ''}"
             for n in range(60)]  # fmt: skip
    bad = [f",{HOSTILE},{START},view,1", f"secretive,i1,{START},view,-3"]
    write_lines(tmp_path / "1.csv", "user_id,item_id,time,kind,price", *lines, *bad)
    write_lines(tmp_path / "items.txt", "id,name,colour", "i0,Zero,red", f"i1,{HOSTILE},", "i9,x,y")
    config = config_for(
        tmp_path,
        {"columns": {"event_type": "kind", "value": "price"}},
        items={"paths": ["items.txt"], "id_column": "id", "title_column": "name",
               "fields": {"colour": {}}},
        etl={"event_types": {"view": {}, "buy": {}}},
    )  # fmt: skip
    workspace = tmp_path / "workspace"
    previous = write_dataset(
        workspace / "datasets/before", histories=[([0, 1], [9, 9]), ([1], [9])], items={"i0": 3}
    )
    commit(workspace, "datasets", previous)
    publish(workspace, "datasets", previous.id, "2026-02-01")
    manifest, folder = make(config)

    result = run_etl(config)  # which finds it done
    assert result["content"] == manifest.content and len(result["content"]) == 64
    shown_path = result["report"]
    assert shown_path == str(folder / "report.html")
    html = Path(shown_path).read_text()
    assert "<script" not in html
    shown = sections(html)
    assert list(shown) == [
        "ledger", "matches", "drift", "quarantine", "cleaning", "missing", "long-tail", "activity",
        "histories", "parts",
    ]  # fmt: skip
    assert (
        "Rows of events by outcome outcome reason rows share read 62 kept 60 96.8% "
        "quarantined price_negative 1 1.6% quarantined user_missing 1 1.6%"
    ) in shown["ledger"]
    assert "price_negative in events: 1 rows" in shown["quarantine"]
    assert "1.csv se••••••• i• 17•••••••• vi•• -•" in shown["quarantine"]
    assert "1.csv &lt;s•••••••••• 17•••••••• vi•• •" in shown["quarantine"]
    assert "secretive" not in html
    assert "items colour 1 33.3% 4 80.0%" in shown["missing"]
    assert "events.log event_type 0 0.0% 0 0.0%" in shown["missing"]
    assert "events.log value 1 1.6% 1 1.7%" in shown["missing"]
    assert "2026-03-01 24 2026-03-02 24 2026-03-03 12" in shown["activity"]
    assert "8 to 15 4" in shown["histories"]  # four users of 15 events

    assert f"Compared with {previous.id}." in shown["drift"]
    assert "users 2 4 +100.0% items 1 5 +400.0% events 3 60 +1,900.0%" in shown["drift"]
    assert "Event types major shift" in shown["drift"]
    assert {path.parent.name for path in tmp_path.rglob("report.html")} == {manifest.id}
