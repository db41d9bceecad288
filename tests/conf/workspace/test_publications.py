import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from conf.errors import VersionError
from conf.workspace.pointers import publish, read_pointer, rollback
from conf.workspace.publications import in_canary, publications


def version(workspace: Path, name: str) -> str:
    folder = workspace / "lists" / name
    folder.mkdir(parents=True)
    (folder / "lists.json").write_text(json.dumps({"id": name, "logical_date": "undated"}))
    return name


def test_the_pointer_tells_what_was_current_and_since_when(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    for name in ("a", "b"):
        publish(tmp_path, "lists", version(tmp_path, name), "undated")
    rollback(tmp_path, "lists")

    found = publications(read_pointer(tmp_path, "lists"))

    assert [(one.id, one.number, one.share) for one in found] == [
        ("a", 3, 1.0), ("b", 2, 1.0), ("a", 1, 1.0),
    ]  # fmt: skip
    assert all(before <= one.at <= datetime.now(UTC) for one in found)


def test_publishing_what_is_current_is_no_publication(tmp_path: Path) -> None:
    name = version(tmp_path, "a")
    publish(tmp_path, "lists", name, "undated")
    publish(tmp_path, "lists", name, "undated")
    assert len(publications(read_pointer(tmp_path, "lists"))) == 1


def test_a_pointer_of_an_earlier_release_has_no_history() -> None:
    assert publications({"id": "a"}) == []
    assert publications(None) == []


ENTRY = {"id": "a", "number": 1, "at": "2026-01-31T00:00:00+00:00", "share": 1.0}


@pytest.mark.parametrize(
    "damage",
    [
        7,
        [7],
        [{"id": "a"}],
        [{**ENTRY, "at": "2026-01-31T00:00:00"}],
        [{**ENTRY, "at": 7}],
        [{**ENTRY, "share": 0}],
        [{**ENTRY, "number": "1"}],
        [{**ENTRY, "id": "../../etc"}],
        [{**ENTRY, "id": ""}],
        [{**ENTRY, "at": "9999-12-31T23:59:59-23:59"}],
        [{**ENTRY, "id": "x" * 5000 + "/"}],
    ],
)
def test_a_damaged_history_is_told(tmp_path: Path, damage: object) -> None:
    publish(tmp_path, "lists", version(tmp_path, "a"), "undated")
    path = tmp_path / "lists" / "CURRENT.json"
    pointer = {**json.loads(path.read_text()), "published": damage}
    del pointer["checksum"]
    path.write_text(json.dumps(pointer))
    with pytest.raises(VersionError, match="published is") as error:
        read_pointer(tmp_path, "lists")
    assert len(str(error.value)) < 600
    assert "remove it and run headrace score" in str(error.value)
    assert "headrace outcome cannot count earlier days" in str(error.value)


def test_a_canary_has_the_share_of_the_users_that_it_says() -> None:
    users = pa.array([f"u{number}" for number in range(20_000)])
    tenth, third = in_canary(users, 0.1, "shop"), in_canary(users, 1 / 3, "shop")
    assert abs(tenth.mean() - 0.1) < 0.01
    assert abs(third.mean() - 1 / 3) < 0.015
    assert third[tenth].all()  # nobody falls out as it grows
    other = in_canary(users, 0.1, "another")
    assert abs((tenth & other).mean() - 0.01) < 0.005
    assert not in_canary(users, 0, "shop").any()
    assert in_canary(users, 1, "shop").all()


def test_readers_can_find_the_users_of_a_canary_by_themselves() -> None:
    users = ["u1", "ü", "", "a/b"]
    first = [hashlib.sha256(f"shop/{user}".encode()).hexdigest()[:8] for user in users]
    expected = [int(digits, 16) < 0.5 * 2**32 for digits in first]
    np.testing.assert_array_equal(in_canary(pa.array(users), 0.5, "shop"), expected)
