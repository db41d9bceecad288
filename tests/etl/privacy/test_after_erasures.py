"""What the ETL and erasures promise together: anonymity, and people who stay erased."""

from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest

from conf.contract import Manifest
from conf.erasure import erase
from conf.errors import ConfigError
from conf.privacy.sealing import pseudonym
from conf.workspace.versions import read_manifest
from tests.conf.erasable import everything_in
from tests.etl.making import config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
KEY = "0123456789abcdef0123456789abcdef"
NEW = KEY[::-1]
START = 1_772_323_200
FIELDS = ("age", "region")
USERS = {
    "paths": ["tables/users.csv"], "id_column": "id",
    "fields": {"age": {}, "region": {}, "city": {}},
}  # fmt: skip
FEATURES = {"users": {
    "encodings": {name: {"kind": "categorical"} for name in ("age", "region", "city")},
    "crosses": {"place": {"of": ["region", "city"]}},
}}  # fmt: skip


def write_log(root: Path, draw: Random, people: int) -> None:
    events = [
        f"person{n},item{min(int(draw.expovariate(0.15)), 40)},{START + 60 * k}"
        for n in range(people) for k in range(3 + n % 3)
    ]  # fmt: skip
    write_lines(root / "log.csv", "user_id,item_id,time", *events)
    table = [f"person{n},{draw.choice([21, 35, 35, 52])},{draw.choice('nnns')},{draw.choice('xy')}"
             for n in range(people)]  # fmt: skip
    write_lines(root / "tables/users.csv", "id,age,region,city", *table)


def erased(config: Any, folder: Path, *names: str) -> dict[str, Any]:
    path = folder / "users.txt"
    path.write_text("\n".join(names))
    return erase.run(config, users=path)


def few_of(folder: Path, least: int) -> int:
    """Count the items with training events that fewer users have, user by user."""
    users = defaultdict(set)
    for row in read_part(folder, "histories"):
        for item in row["history_item_idx"]:
            users[item].add(row["user_idx"])
    trained = [row["item_idx"] for row in read_part(folder, "items") if row["train_events"]]
    return sum(len(users[item]) < least for item in trained)


@pytest.mark.slow
def test_what_a_dataset_promises_is_true_after_an_erasure(tmp_path: Path) -> None:
    draw = Random(5)
    write_log(tmp_path, draw, 40)
    config = config_for(
        tmp_path, users=USERS, etl={"features": FEATURES},
        privacy={"key": KEY, "columns": {"users": {"age": {"method": "generalise", "step": 10}}},
                 "quasi_identifiers": list(FIELDS), "k": 5, "min_users_per_item": 3},
    )  # fmt: skip
    manifest, folder = make(config)
    report = manifest.privacy
    assert report is not None and report.k_reached is not None and report.k_reached >= 5
    assert few_of(folder, 3) == 0
    combinations = Counter(
        tuple(row[name] for name in FIELDS) for row in read_part(folder, "users")
    )
    rarest = min(((users, group) for group, users in combinations.items() if any(group)))[1]
    theirs = [row["user_id"] for row in read_part(folder, "users")
              if tuple(row[name] for name in FIELDS) == rarest]  # fmt: skip

    regions = {row["user_idx"]: row["region"] for row in read_part(folder, "users")}

    result = erased(config, tmp_path, *theirs[:-2], "person1")

    after = read_manifest(tmp_path / "workspace", "datasets", manifest.id, Manifest)
    users = read_part(folder, "users")
    left = Counter(tuple(row[name] for name in FIELDS) for row in users)
    told = [count for group, count in left.items() if any(group)]
    few = few_of(folder, 3)
    assert after.privacy is not None
    assert after.privacy.k_reached == min(told) >= 5
    assert after.privacy.items_of_few_users == few > 0
    assert result["removed"][f"datasets/{manifest.id}"]["combinations"] >= 2
    assert result["anonymity"][f"datasets/{manifest.id}"] == {
        "k_asked": 5, "k_reached": min(told), "min_users_per_item": 3, "items_of_few_users": few,
    }  # fmt: skip
    by_number = {row["user_idx"]: row for row in users}
    for row in read_part(folder, "user_features"):
        user = by_number[row["user_idx"]]
        for name in FIELDS:
            assert (row[f"user_{name}"] == 0) == (user[name] is None)
        is_emptied = user["region"] != regions[row["user_idx"]]
        assert (row["user_place"] == 0) == is_emptied


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "pseudonymise"])
def test_users_stay_erased_when_the_key_changes(tmp_path: Path, mode: str) -> None:
    write_log(tmp_path, Random(1), 8)
    first = config_for(tmp_path, privacy={"mode": mode, "key": KEY})
    second = config_for(tmp_path, privacy={"mode": mode, "key": NEW, "former_keys": [KEY]})
    make(first)
    erased(first, tmp_path, "person2")

    manifest, _ = make(second)  # her rows are in the log still
    assert manifest.ledger["events"].dropped == {"erased": 5}
    assert erased(second, tmp_path, "person3")["found"] == 1
    manifest, folder = make(second)

    assert manifest.ledger["events"].dropped == {"erased": 8}
    assert manifest.counts["users"] == 6
    found = everything_in(folder.parents[1])
    gone = ["person2", "person3"]
    gone += [pseudonym(key.encode(), "", "user", name) for key in (KEY, NEW) for name in gone]
    assert not [name for name in gone if name in found]
    with pytest.raises(ConfigError, match="was made with the key"):
        make(config_for(tmp_path, privacy={"mode": mode, "key": NEW}))
