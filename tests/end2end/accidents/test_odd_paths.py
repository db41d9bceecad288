"""The whole line in a folder, and on files, whose names mean something to one engine or another."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end2end.conftest import headrace, make_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ODD = "my {shop}, #1 [ü] 50%25? a+b & 'c' k=v"


def test_the_whole_line_in_an_odd_folder(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    (folder / "key").write_text("0123456789abcdef0123456789abcdef")
    shop = make_shop(folder, ["generate.num_days=8", f"privacy.key_file={folder / 'key'}"])
    days = sorted((shop.log / "events").glob("*.csv"))
    for day in days:
        day.rename(day.with_name(f"{ODD}-{day.name}"))
    made = shop.run("run")
    manifest = shop.workspace / "datasets" / made["etl"]["id"] / "manifest.json"
    ledger = json.loads(manifest.read_text())["ledger"]["events"]
    assert set(ledger["files"]) == {f"events/{ODD}-{day.name}" for day in days}
    assert made["etl"]["counts"]["events"] > 1000
    told: dict[str, Any] = shop.run("show", "--user", "first")
    assert told["list"]
    again = shop.run("run")
    assert [again[stage]["status"] for stage in ("etl", "train", "score")] == ["already done"] * 3
    (folder / "users.txt").write_text(f"{told['user_id']}\n")
    erased = shop.run("erase", "--users", str(folder / "users.txt"))
    assert erased["found"] == 1
    headrace(*shop.arguments("show", "--user", told["user_id"]), exit_code=2)
    newer = shop.run("score", "score.list_length=5")
    assert newer["id"] != made["score"]["id"]
    assert shop.run("rollback", "--kind", "lists")["current"] == made["score"]["id"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [ODD]
