"""The manual's programs that find which lists a user sees, with and without a canary."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from conf.runs.looking import run_show
from conf.runs.managing import run_rollback
from conf.runs.stages import run_score
from conf.workspace.publications import in_canary
from tests.damage.workspaces import LENGTHS, make_shop, tiny_shop_lists
from tests.docs.samples import PAGES, samples_of
from tests.serving import tiny_shop

LISTS = next(page for page in PAGES if page.name == "lists.md")
USERS = [f"u{number}" for number in range(len(tiny_shop.HISTORIES))]


def sample(language: str) -> str:
    """Return the sample that reads the canary, for the shop of the tests."""
    [text] = [one.text for one in samples_of(LISTS, language) if "canary" in one.text]
    ours = text.replace('NAME = "shop"', 'NAME = "tiny"').replace(
        "sha256('shop/'", "sha256('tiny/'"
    )
    assert ours != text
    return ours


@pytest.fixture(scope="module", params=["canary", "current"])
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, list[str]]]:
    """Return a folder, and what each user sees according to the command."""
    folder = tmp_path_factory.mktemp("docs")
    shop = folder / "workspace" / "shop"
    make_shop(shop)
    config = tiny_shop.tiny_config(shop, "publish.share=0.5")
    assert run_score(config)["published"] == "canary"
    if request.param == "current":
        run_rollback(config, None)
    lists = {user: run_show(config, user) for user in USERS}
    versions = {one["lists_id"] for one in lists.values()}
    assert (tiny_shop_lists(shop, LENGTHS[0]) in versions) == (request.param == "canary")
    return folder, {user: [row["item_id"] for row in one["list"]] for user, one in lists.items()}


def test_the_python_sample_finds_what_each_user_sees(
    seen: tuple[Path, dict[str, list[str]]],
) -> None:
    folder, expected = seen
    code = sample("python") + f"\nprint({{user: list_of(user) for user in {USERS}}})\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == str(expected)


def test_the_duckdb_sample_finds_what_each_user_sees(
    seen: tuple[Path, dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, expected = seen
    monkeypatch.chdir(folder)
    rows = duckdb.connect().execute(sample("sql")).fetchall()
    found: dict[str, list[str]] = {user: [] for user in USERS}
    for user, _, item, _ in sorted(rows):
        found[user].append(item)
    assert found == expected


@pytest.mark.parametrize("share", [1 / 3, 0.1, 0.999999, 2**-32, 1e-12])
def test_duckdb_and_python_agree_on_who_is_in_a_canary(share: float) -> None:
    users = pa.array([f"user {number}" for number in range(5000)])
    digits = duckdb.execute(
        "SELECT format('{:08x}', floor(?::DOUBLE * 4294967296)::BIGINT)", [share]
    ).fetchone()
    assert digits is not None
    table = pa.table({"user_id": users})
    connection = duckdb.connect()
    connection.register("users", table)
    found = connection.execute(
        "SELECT sha256('shop/' || user_id)[:8] < ? FROM users", [digits[0]]
    ).fetchnumpy()
    assert next(iter(found.values())).tolist() == in_canary(users, share, "shop").tolist()
