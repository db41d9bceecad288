"""Two daily runs: the second goes on with the numbers of the first."""

import json
from pathlib import Path

import pytest

from conf.contract import Manifest
from conf.erasure import erase
from conf.errors import ConfigError
from conf.runs.inputs.input_files import fingerprint_inputs
from conf.runs.inputs.request_keys import dataset_request
from conf.runs.lineage import base_dataset
from conf.settings.config import Config
from conf.settings.privacy import Privacy
from conf.workspace.pointers import publish
from conf.workspace.versions import read_manifest
from etl.pipeline import run
from tests.etl.making import DAY, HEADER, config_for, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z
ITEMS = {"paths": ["tables/items.csv"], "id_column": "id", "fields": {"colour": {}}}
USERS = {"paths": ["tables/users.csv"], "id_column": "id", "fields": {"city": {}}}
FEATURES = {
    "items": {"encodings": {"colour": {"kind": "categorical"}}},
    "users": {"encodings": {"city": {"kind": "categorical"}}},
}
KEY = "0123456789abcdef0123456789abcdef"


def day_run(config: Config) -> tuple[Manifest, Path]:
    """Do what the etl stage does, without its lock."""
    inputs, workspace = fingerprint_inputs(config), Path(config.run.output)
    base = base_dataset(config, inputs, None)
    request = dataset_request(config, inputs, None, base)
    made = list((workspace / "datasets").glob(f"*-{request[:12]}"))
    version = made[0].name if made else run(
        config, logical_date=None, inputs=inputs, request=request, base=base
    )  # fmt: skip
    manifest = read_manifest(workspace, "datasets", version, Manifest)
    publish(workspace, "datasets", version, manifest.logical_date)
    return manifest, workspace / "datasets" / version


def numbers(folder: Path, part: str) -> dict[str, int]:
    kind = part[:4]
    return {row[f"{kind}_id"]: row[f"{kind}_idx"] for row in read_part(folder, part)}


def test_old_ids_keep_their_numbers_and_new_ones_follow(tmp_path: Path) -> None:
    write_lines(tmp_path / "tables/items.csv", "id,colour", "a,red", "b,blue", "c,red", "z,green")
    write_lines(tmp_path / "1.csv", HEADER, *(f"u,{item},{START + n}" for n, item in
                enumerate("aab")), f"v,b,{START}", f"gone,c,{START}")  # fmt: skip
    write_lines(tmp_path / "tables/users.csv", "id,city", "u,Oslo", "v,Oslo", "gone,Rome")
    config = config_for(tmp_path, items=ITEMS, users=USERS, privacy={"key": KEY},
                        etl={"vocabulary": "extend", "features": FEATURES})  # fmt: skip
    first, folder = day_run(config)
    items, users = numbers(folder, "items"), numbers(folder, "users")
    assert (first.base, first.vocabularies["item"].earlier) == (None, ())

    # An erasure between the two: the numbers stay, the city that only the erased user had does not.
    gone = write_lines(tmp_path / "gone.txt", "gone")
    removed = erase.run(config, users=gone)["removed"][f"datasets/{first.id}"]
    assert (removed["users"], removed["user_features"], removed["encoders"]) == (1, 1, 1)
    del users["gone"]
    known = json.loads((folder / "encoders/user_features.json").read_text())
    assert known == {"city": {"values": ["Oslo", None]}}

    write_lines(tmp_path / "tables/users.csv", "id,city", "u,Oslo", "new,Rome")
    (tmp_path / "1.csv").unlink()
    write_lines(tmp_path / "2.csv", HEADER, *(f"u,{item},{START + DAY + n}" for n, item in
                enumerate("zzzay")), f"new,b,{START + DAY}")  # fmt: skip
    second, folder = day_run(config)
    later_items, later_users = numbers(folder, "items"), numbers(folder, "users")

    assert {name: later_items[name] for name in items} == items
    assert {name: later_users[name] for name in users} == users
    # z and then nothing else is new in the training part: a and y are held out.
    assert {name: n for name, n in later_items.items() if name not in items} == {"z": 5}
    assert later_users.keys() - users.keys() == {"new"}
    assert later_users["new"] == max(users.values()) + 1
    cities = {row["user_idx"]: row["user_city"] for row in read_part(folder, "user_features")}
    assert [cities[later_users[name]] for name in ("u", "new")] == [2, 1]  # Rome is unknown now
    events = {row["item_id"]: row["train_events"] for row in read_part(folder, "items")}
    assert events == {"a": 0, "b": 1, "c": 0, "z": 3}
    assert second.base == first.id and second.id != first.id
    assert second.vocabularies["item"].goes_on_from(first.vocabularies["item"])
    assert not first.vocabularies["item"].goes_on_from(second.vocabularies["item"])
    # v and c are in neither the log nor a table that counts.
    assert [text.split(":")[0] for text in second.ledger["events"].warnings if "fresh" in text] == [
        f"1 {kind} of the dataset before would not be in a fresh one" for kind in ("user", "item")
    ]
    assert not [text for text in first.ledger["events"].warnings if "fresh" in text]
    # What was fitted stays: green is new, so it is out of the vocabulary.
    colours = {row["item_idx"]: row["item_colour"] for row in
               read_part(folder, "item_features")}  # fmt: skip
    assert colours[5] == 1 and colours[items["a"]] == colours[items["c"]] > 1

    again, _ = day_run(config)
    assert again.id == second.id

    # Raw ids of the day before must not get into a dataset of labels.
    write_lines(tmp_path / "3.csv", HEADER, f"u,a,{START + 2 * DAY}")
    privacy = Privacy(mode="pseudonymise", key=KEY)
    with pytest.raises(
        ConfigError, match="are the ids of the log, and the new ones would be pseudonyms"
    ):
        day_run(config.model_copy(update={"privacy": privacy}))
