import json
import stat
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conf.erasure import erase
from conf.errors import ConfigError, InputError
from conf.privacy.keys import require_keys
from conf.privacy.quarantine import read_quarantine
from conf.privacy.sealing import pseudonym, unseal
from conf.runs.stages import run_etl
from tests.conf.erasable import everything_in
from tests.etl.making import config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
KEY = "0123456789abcdef0123456789abcdef"
START = 1_772_323_200  # 2026-03-01T00:00:00Z
PEOPLE = ("ann.tok", "bob.tok", "cy.tok", "dee.tok")
USERS = {
    "paths": ["tables/users.csv"], "id_column": "id",
    "fields": {"age": {}, "mail": {}, "city": {}, "card": {}, "zip": {}},
}  # fmt: skip
RULES = {
    "users": {
        "age": {"method": "generalise", "step": 10},
        "mail": {"method": "drop"},
        "city": {"method": "pseudonym"},
        "card": {"method": "encrypt"},
        "zip": {"method": "mask", "first": 1},
    },
    "events": {
        "time": {"method": "generalise", "to": "hour"},
        "value": {"method": "generalise", "step": 5},
    },
}  # fmt: skip


def write_log(root: Path) -> None:
    """Write a log with all kinds of rows; each private text has `tok` in it."""
    events = [f"{who},i{n},{START + 60 * n},7,e{who}{n}" for who in PEOPLE for n in range(4)]
    faults = [
        "bob.tok,,5,7,x",
        ",i1,tok-time,7,y",
        "cy.tok,i1,tok-when,7,z",
        "dee.tok;i1",
        " ,i1,5,7,w",
    ]
    header = "who,what,when,price,event"
    write_lines(root / "log.csv", header, *events, events[0], *faults)
    people = [f"{who},{30 + n},{who}@mail.tok,city-tok,card-tok-{n},9411{n}"
              for n, who in enumerate(PEOPLE)]  # fmt: skip
    write_lines(root / "tables/users.csv", "id,age,mail,city,card,zip", *people,
                ",50,nobody@mail.tok,x,y,z")  # fmt: skip


def config_of(root: Path, **privacy: Any) -> Any:
    columns = {"user_id": "who", "item_id": "what", "time": "when", "value": "price",
               "event_id": "event"}  # fmt: skip
    return config_for(
        root, {"columns": columns}, users=USERS, etl={"clean": {"max_bad_share": 0.5}},
        privacy={"mode": "pseudonymise", "key": KEY, "tenant": "shop", **privacy},
    )  # fmt: skip


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory, spark: Any) -> Any:
    """A dataset of that log with all methods on, its configuration and its folder."""
    root = tmp_path_factory.mktemp("protected")
    write_log(root)
    config = config_of(root, columns=RULES, ids=["users", "items"])
    return config, *make(config)


def label(kind: str, raw: str) -> str:
    return pseudonym(KEY.encode(), "shop", kind, raw)


def test_labels_stand_for_ids_and_the_ledger_is_the_same(protected: Any) -> None:
    _, manifest, folder = protected
    users = {row["user_id"]: row for row in read_part(folder, "users")}
    assert set(users) == {label("user", who) for who in PEOPLE}
    items = {row["item_id"] for row in read_part(folder, "items")}
    # Of the four events of a user, all in one hour, two are held out: which ones is drawn by user.
    assert items and items <= {label("item", f"i{n}") for n in range(4)}
    events = manifest.ledger["events"]
    assert (events.rows_read, events.rows_kept) == (22, 16)
    assert events.dropped == {"duplicate": 1}
    assert events.quarantined == {
        "item_missing": 1, "user_missing": 2, "time_unparsable": 1, "line_unparsable": 1,
    }  # fmt: skip
    assert manifest.ledger["users"].quarantined == {"id_missing": 1}


def test_each_field_is_what_its_method_makes_it(protected: Any) -> None:
    config, manifest, folder = protected
    user = next(
        row for row in read_part(folder, "users") if row["user_id"] == label("user", PEOPLE[1])
    )
    cipher = require_keys(config.privacy, "this").cipher()
    assert "mail" not in user
    assert (user["age"], user["zip"]) == ("30-39", "9***")
    assert user["city"] == label("users.city", "city-tok")
    assert unseal(cipher, user["card"]) == "card-tok-1"
    history = read_part(folder, "histories")[0]
    assert history["history_time"] == [START * 1_000_000] * 4
    report = manifest.privacy
    assert (report.mode, report.tenant, report.ids) == ("pseudonymise", "shop", ("users", "items"))
    assert report.methods["users.mail"] == "drop" and report.methods["events.time"] == "generalise"
    assert report.key_id and KEY not in report.key_id


def test_no_private_text_is_written_but_in_identities(protected: Any) -> None:
    _, manifest, folder = protected
    workspace = folder.parents[1]
    table = workspace / "identities" / manifest.id
    outside = [everything_in(path) for path in workspace.iterdir() if path.name != "identities"]
    for text in ("tok", KEY):
        assert not [found for found in outside if text in found]

    rows = pq.read_table(next(table.iterdir())).to_pylist()
    numbers = {row["user_id"]: row["user_idx"] for row in read_part(folder, "users")}
    users = [row for row in rows if row["kind"] == "user"]
    assert {(row["raw_id"], row["pseudonym"], row["number"]) for row in users} == {
        (who, label("user", who), numbers[label("user", who)]) for who in PEOPLE
    }
    items = {row["pseudonym"]: row["raw_id"] for row in rows if row["kind"] == "item"}
    assert items == {label("item", raw): raw for raw in items.values()}
    assert set(items) == {row["item_id"] for row in read_part(folder, "items")}
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (table.parent, table, *table.iterdir())]
    assert modes == [0o700, 0o700, 0o600]


def test_the_quarantine_opens_with_the_key_alone(protected: Any) -> None:
    config, manifest, folder = protected
    workspace = folder.parents[1]
    keys = require_keys(config.privacy, "this")
    rows = {row["reason"]: row for row in read_quarantine(workspace, manifest.id, keys).to_pylist()}
    assert rows["line_unparsable"]["raw"] == "dee.tok;i1"
    assert json.loads(rows["time_unparsable"]["raw"])["who"] == "cy.tok"
    assert rows["time_unparsable"]["time"] == "tok-when"
    assert rows["time_unparsable"]["user_id"] == label("user", "cy.tok")
    assert json.loads(rows["id_missing"]["raw"])["mail"] == "nobody@mail.tok"
    named = {"key_id": keys.key_id}
    renamed = require_keys(config.privacy.model_copy(update={"key_id": "other"}), "this")
    after = require_keys(config_of(workspace, key=KEY[::-1], former_keys=[KEY]).privacy, "this")
    for right in (renamed, after):
        assert read_quarantine(workspace, manifest.id, right).num_rows == len(rows) + 1
    other = require_keys(config_of(workspace, key=KEY[::-1], **named).privacy, "this")
    for wrong in (None, other):
        with pytest.raises(ConfigError, match="is encrypted with the key"):
            read_quarantine(workspace, manifest.id, wrong)


def test_without_a_key_nothing_begins(tmp_path: Path) -> None:
    for privacy in ({}, {"mode": "none", "columns": {"users": {"age": {"method": "encrypt"}}}}):
        with pytest.raises(ConfigError, match="needs a key"):
            run_etl(config_of(tmp_path / "missing", **{"key": None, **privacy}))


@pytest.mark.slow
def test_rules_hold_without_labels_and_leave_no_text_in_quarantine(tmp_path: Path) -> None:
    write_log(tmp_path)
    rules = {"users": {"age": {"method": "generalise", "step": 5}, "mail": {"method": "drop"}}}
    quasi = ["age", "zip"]
    manifest, folder = make(config_of(
        tmp_path, mode="none", key=None, columns=rules, quasi_identifiers=quasi, k=2,
        min_users_per_item=4,
    ))  # fmt: skip
    # Ages 30 to 33 are one band, the four zips are rare, and empty first.
    users = read_part(folder, "users")
    assert {(row["user_id"], row["age"], row["zip"]) for row in users} == {
        (who, "0-39", None) for who in PEOPLE
    }
    report = manifest.privacy
    assert report is not None
    assert (report.k_asked, report.k_reached) == (2, 4)
    assert (report.rows_generalised, report.rows_suppressed) == (4, 0)
    page = (folder / "report.html").read_text()
    assert "k required" in page and "users generalised" in page
    raws = {(row["input"], row["raw"]) for row in read_part(folder, "quarantine")}
    assert ("users", None) in raws and ("events", "dee.tok;i1") in raws
    with pytest.raises(InputError, match=r"privacy\.min_users_per_item=5"):
        make(config_of(tmp_path, mode="none", key=None, min_users_per_item=5))


@pytest.mark.parametrize("mode", [pytest.param("none", marks=pytest.mark.slow), "pseudonymise"])
def test_rows_of_an_erased_user_that_are_delivered_again_are_dropped(
    tmp_path: Path, mode: str
) -> None:
    write_log(tmp_path)
    config = config_of(tmp_path, mode=mode)
    before, _ = make(config)
    (tmp_path / "users.txt").write_text("dee.tok\n")
    removed = erase.run(config, users=tmp_path / "users.txt")["removed"]
    assert removed[f"datasets/{before.id}"]["histories"] == 1

    manifest, folder = make(config)

    assert manifest.id != before.id
    # Her four events, and the broken line that begins with her id.
    events = manifest.ledger["events"]
    assert (events.rows_kept, events.dropped) == (12, {"duplicate": 1, "erased": 5})
    assert manifest.ledger["users"].dropped == {"erased": 1}
    assert manifest.counts["users"] == 3
    gone = {"dee.tok", label("user", "dee.tok")}
    assert not [text for text in gone if text in everything_in(folder.parents[1])]
    with pytest.raises(ConfigError, match=r"recognising the users that were erased .* needs a key"):
        make(config_of(tmp_path, mode="none", key=None))
