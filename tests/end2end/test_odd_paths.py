"""The whole line in a folder, and on files, whose names mean something to one engine or another."""

from pathlib import Path
from typing import Any

import pytest

from tests.end2end.conftest import headrace, make_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ODD = "my {shop}, #1 [ü] 50%25? a+b & 'c' k=v"
KEY = {"HEADRACE_TEST_KEY": "0123456789abcdef0123456789abcdef"}


def test_the_whole_line_in_an_odd_folder(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    shop = make_shop(folder, ["generate.num_days=5", "privacy.key=${oc.env:HEADRACE_TEST_KEY}"])
    days = sorted((shop.log / "events").glob("*.csv"))
    for day in days:
        day.rename(day.with_name(f"{ODD}-{day.name}"))
    made = shop.run("run", env=KEY)
    files = made["etl"]["ledger"]["events"]["files"]
    assert set(files) == {f"events/{ODD}-{day.name}" for day in days}
    assert made["etl"]["counts"]["events"] > 1000
    told: dict[str, Any] = shop.run("show", "--user", "first", env=KEY)
    assert told["list"]
    again = shop.run("run", env=KEY)
    assert [again[stage]["status"] for stage in ("etl", "train", "score")] == ["already done"] * 3
    (folder / "users.txt").write_text(f"{told['user_id']}\n")
    erased = shop.run("erase", "--users", str(folder / "users.txt"), env=KEY)
    assert erased["found"] == 1
    headrace(*shop.arguments("show", "--user", told["user_id"]), exit_code=2, env=KEY)
    newer = shop.run("run", env=KEY)
    assert newer["etl"]["counts"]["users"] == made["etl"]["counts"]["users"] - 1
    shop.run("rollback", "--kind", "lists", env=KEY)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ODD]
