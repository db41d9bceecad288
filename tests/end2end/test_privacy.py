"""No id, name, mail or key is written where it can be read; and erased is erased."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import ListsManifest, Manifest
from conf.erasure.receipts import is_genuine
from conf.privacy.keys import Keys, load_keys
from conf.privacy.sealing import pseudonym
from conf.settings.load import load_config
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import current_version, publish
from conf.workspace.versions import commit, read_manifest
from serving.publishing.parts import LISTS_SCHEMA, read_row_group
from tests.conf.erasable import everything_in
from tests.end2end.conftest import CHECKOUT, Shop, command, headrace, make_shop

KEY = "a-key-of-the-test-0123456789abcdef"
ENV = {"HEADRACE_TEST_KEY": KEY}
ON = ("privacy.mode=pseudonymise", "privacy.key=${oc.env:HEADRACE_TEST_KEY}", "privacy.tenant=shop")
TOKENS = ("idtoken", "mailtoken", "linetoken", "timetoken")
CONFIG = """
run: {name: secret, output: OUT/workspace}
input:
  root: OUT/log
  events: {log: {paths: [events.csv], time_unit: iso}}
  users: {paths: [users.csv], id_column: id, fields: {mail: {}, name: {}}}
etl: {event_types: {view: {}}, clean: {max_bad_share: 0.5}}
privacy:
  mode: pseudonymise
  key: ${oc.env:HEADRACE_TEST_KEY}
  columns: {users: {mail: {method: drop}, name: {method: encrypt}}}
spark:
  driver_memory: 1g
  shuffle_partitions: 2
  conf: {spark.eventLog.enabled: "true", spark.eventLog.dir: "file://OUT/eventlog",
         spark.eventLog.compress: "false", spark.local.dir: OUT/local}
"""


def write_log(folder: Path) -> None:
    (folder / "log").mkdir()
    lines = [f"idtoken{n % 9},item{n % 7},2026-03-0{1 + n % 5}T00:00:{n % 60:02d}Z"
             for n in range(120)]  # fmt: skip
    bad = ["linetoken;idtoken1", "idtoken2,item1,timetoken", ",item1,timetoken"]
    (folder / "log/events.csv").write_text("\n".join(["user_id,item_id,time", *lines, *bad, ""]))
    users = [f"idtoken{n},mailtoken{n}@example.com,nametoken{n}" for n in range(9)]
    (folder / "log/users.csv").write_text("\n".join(["id,mail,name", *users, ",mailtoken,x", ""]))


def arguments_seen(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the arguments of a process and of all that it starts, until it ends."""
    while process.poll() is None:
        try:
            family = [psutil.Process(process.pid)]
            family += family[0].children(recursive=True)
            yield from (" ".join(member.cmdline()) for member in family)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue


@pytest.mark.slow
def test_planted_tokens_are_found_nowhere_but_in_identities(tmp_path: Path) -> None:
    write_log(tmp_path)
    (tmp_path / "eventlog").mkdir()
    (tmp_path / "run.yaml").write_text(CONFIG.replace("OUT", str(tmp_path)))
    said = (tmp_path / "stdout", tmp_path / "stderr")
    with said[0].open("w") as out, said[1].open("w") as err:
        process = subprocess.Popen(
            command("etl", "--config", str(tmp_path / "run.yaml"), "--json", "--verbose"),
            cwd=CHECKOUT, stdout=out, stderr=err, text=True, env={**os.environ, **ENV},
        )  # fmt: skip
        arguments = set(arguments_seen(process))
    assert process.returncode == 0, said[1].read_text()[-3000:]
    result = json.loads(said[0].read_text())
    assert result["ledger"]["events"]["quarantined"] == {
        "line_unparsable": 1, "time_unparsable": 1, "user_missing": 1,
    }  # fmt: skip

    assert any("java" in text for text in arguments)
    places = [path for path in (tmp_path / "workspace").iterdir() if path.name != "identities"]
    places += [tmp_path / "eventlog", tmp_path / "local", *said]
    texts = {str(p): everything_in(p) if p.is_dir() else p.read_text("latin-1") for p in places}
    assert "SparkListenerSQLExecutionStart" in texts[str(tmp_path / "eventlog")]
    texts["arguments"] = "\n".join(arguments)
    for token in (*TOKENS, "nametoken", KEY):
        assert [place for place, text in texts.items() if token in text] == []
    assert "idtoken8" in everything_in(tmp_path / "workspace/identities")


def test_pseudonyms_without_a_key_are_refused(tmp_path: Path) -> None:
    done = headrace("etl", "--config", "conf/demo.yaml", f"run.output={tmp_path / 'workspace'}",
                    ON[0], exit_code=2)  # fmt: skip
    assert "needs a key, but privacy.key and privacy.key_file are null" in done.stderr


def write_lists(workspace: Path, dataset: str) -> None:
    """Publish a list of one item for each user, as the scorer lays them out."""
    manifest = read_manifest(workspace, "datasets", dataset, Manifest)
    folder, files = workspace / "lists" / "by-hand", []
    folder.mkdir(parents=True)
    item = pq.read_table(workspace / "datasets" / dataset / manifest.files["items"][0].path)
    for part, group in enumerate(manifest.row_groups("users")):
        users = read_row_group(workspace / "datasets" / dataset, group, ["user_id"])["user_id"]
        rows = [{"user_id": user, "position": 1, "item_id": item["item_id"][0].as_py(),
                 "score": 1.0, "source": "fallback"} for user in users.to_pylist()]  # fmt: skip
        path = folder / f"part-{part:05d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=LISTS_SCHEMA), path)
        files.append(describe_parquet(folder, path))
    count = manifest.counts["users"]
    commit(workspace, "lists", ListsManifest(
        id="by-hand", request="r", logical_date=manifest.logical_date, dataset_id=dataset,
        model_id="none", config={"score": {"list_length": 1}}, short_lists={}, gates={},
        counts={"users": count, "lists": count, "rows": count}, files={"lists": tuple(files)},
    ))  # fmt: skip
    publish(workspace, "lists", "by-hand", manifest.logical_date)


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TEST_KEY", KEY)


def keys_of(shop: Shop) -> Keys:
    keys = load_keys(load_config(CHECKOUT / "conf/demo.yaml", shop.overrides).privacy)
    assert keys is not None
    return keys


def check_erased(shop: Shop, users: list[str], result: dict[str, Any], keys: Keys) -> None:
    """Search the whole workspace, tables as they read and files as they are."""
    found = everything_in(shop.workspace)
    labels = [pseudonym(keys.label, keys.tenant, "user", user) for user in users]
    assert [name for name in (*users, *labels) if name in found] == []
    assert result["users"] == result["found"] == 10
    assert is_genuine(Path(result["receipt"]), keys)
    hashes = json.loads(Path(result["receipt"]).read_text())["users"]
    assert len(set(hashes)) == 10 and all(text in found for text in hashes)


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize(
    "overrides",
    [pytest.param(ON, id="labels"), pytest.param(ON[1:], id="raw ids")],
)
@pytest.mark.slow
def test_ten_erased_users_are_nowhere(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    shop = make_shop(tmp_path, overrides)
    etl = shop.run("etl")
    write_lists(shop.workspace, etl["id"])
    keys = keys_of(shop)
    users = [f"u{number:07d}" for number in range(3, 300, 30)]
    (tmp_path / "users.txt").write_text("\n".join(users))
    left = "u0000004"
    label = pseudonym(keys.label, "shop", "user", left) if overrides == ON else left
    before = everything_in(shop.workspace)
    assert all(user in before for user in users)
    shown = shop.run("show", "--user", left)
    assert shown["user_id"] == label

    result = shop.run("erase", "--users", str(tmp_path / "users.txt"))

    check_erased(shop, users, result, keys)
    assert label in everything_in(shop.workspace)
    manifest = read_manifest(shop.workspace, "datasets", etl["id"], Manifest)
    assert manifest.counts["users"] == etl["counts"]["users"] - 10
    assert all(ledger.missing_rows() == 0 for ledger in manifest.ledger.values())
    assert manifest.ledger["events"].dropped["erased"] > 10
    assert shop.run("show", "--user", left) == shown
    arguments = shop.arguments("show", "--user", users[0])
    complaint = headrace(*arguments, exit_code=2).stderr
    assert (users[0] in complaint) == (overrides != ON)


@pytest.mark.usefixtures("_key")
@pytest.mark.slow
def test_the_whole_line_goes_on_after_an_erasure(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, ON)
    first = shop.run("run")
    users = [f"u{number:07d}" for number in range(3, 300, 30)]
    (tmp_path / "users.txt").write_text("\n".join(users))

    result = shop.run("erase", "--users", str(tmp_path / "users.txt"))
    check_erased(shop, users, result, keys_of(shop))
    shop.run("evaluate")
    again = shop.run("run")

    # The same log without those users: a dataset, a model and lists of their own.
    assert again["etl"]["ledger"]["events"]["dropped"]["erased"] > 10
    assert again["etl"]["counts"]["users"] == first["etl"]["counts"]["users"] - 10
    assert current_version(shop.workspace, "lists") == again["score"]["id"] != first["score"]["id"]
    check_erased(shop, users, result, keys_of(shop))
