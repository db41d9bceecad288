"""What happens to targets between deliveries: damage, foreign things, other places."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import redis

from conf.errors import ConfigError, VersionError
from conf.privacy.delivered import read_delivered
from conf.runs.managing import run_deliver
from serving.delivery.versions import MARK
from tests.serving.delivery.conftest import KINDS
from tests.serving.delivery.readers import RECORD, Site, empty_out, put
from tests.serving.delivery.shops import config_of, deliver, lists_of, write_lists


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content", ["", '{"made_by": "headrace", "numb', '{"made_by": "headrace"}']
)
def test_a_damaged_record_is_written_again(
    tmp_path: Path, site: Site, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_lists(tmp_path, lists_of(3, "a"), number=4)
    first = deliver(tmp_path, site)["version"]
    put(site, RECORD, content)
    early = tmp_path / "early"
    write_lists(early, lists_of(3, "b"), number=3)
    with pytest.raises(VersionError, match=r"is damaged, and a version there has number 4"):
        deliver(early, site)
    told = deliver(tmp_path, site)
    assert told["status"] == "delivered"
    assert "is damaged; all lists are delivered again" in caplog.text
    assert site.read("lists") == lists_of(3, "a")
    assert site.versions() == {told["version"]} != {first}
    assert deliver(tmp_path, site)["status"] == "current"


@pytest.mark.parametrize("kind", ["jsonl", "csv", "s3"])
@pytest.mark.parametrize("content", ["", '{"files": {"lists": 1}}', "{}"])
def test_a_damaged_manifest_is_delivered_again(
    tmp_path: Path, site: Site, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    first = deliver(tmp_path, site)["version"]
    put(site, f"{first}/manifest.json", content)
    assert deliver(tmp_path, site)["status"] == "delivered"
    assert f"the manifest of version {first} is damaged" in caplog.text
    assert site.read("lists") == lists_of(3, "a")


@pytest.mark.parametrize("kind", ["jsonl", "s3"])
def test_a_file_that_was_cut_off_is_delivered_again(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    first = deliver(tmp_path, site)["version"]
    put(site, f"{first}/{'lists.jsonl' if kind_is_files(site) else 'part-00000.parquet'}", "x")
    assert deliver(tmp_path, site)["status"] == "delivered"
    assert site.read("lists") == lists_of(3, "a")


def kind_is_files(site: Site) -> bool:
    return "path" in site.settings


@pytest.mark.parametrize("kind", ["jsonl", "redis", "s3"])
def test_what_only_looks_like_a_version_is_left(tmp_path: Path, site: Site) -> None:
    """Eight digits of a day and eight of another program."""
    for name in ("20200531_01020304/theirs", "000001_0123abcd/theirs"):
        put(site, name if site.kind != "redis" else name.replace("/", ":"), "theirs")
    write_lists(tmp_path, lists_of(3, "a"), number=20_300_000)
    deliver(tmp_path, site)
    write_lists(tmp_path, lists_of(3, "b"))
    deliver(tmp_path, site, keep=0)
    assert {"20200531_01020304", "000001_0123abcd"} < site.versions()
    assert len(site.versions()) == 3


@pytest.mark.parametrize("kind", ["redis"])
def test_bytes_of_another_program_are_left(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    client: Any = redis.Redis.from_url(site.settings["url"])
    key = f"{site.settings['prefix']}:current"
    client.set(key, b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"deliver.there: .*another table, prefix"):
        deliver(tmp_path, site)
    assert client.get(key) == b"\xff\xfe"


@pytest.mark.parametrize("kind", ["redis"])
def test_versions_whose_note_was_evicted_are_found(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    deliver(tmp_path, site)
    client: Any = redis.Redis.from_url(site.settings["url"])
    prefix = site.settings["prefix"]
    client.set(f"{prefix}:000001_0123abcd:made_by", "headrace")
    client.set(f"{prefix}:000001_0123abcd:lists:u1", "[]")
    client.delete(f"{prefix}:versions")
    write_lists(tmp_path, lists_of(3, "b"))
    label = deliver(tmp_path, site, keep=0)["version"]
    assert site.versions() == {label}


@pytest.mark.parametrize("kind", ["redis"])
def test_the_rows_that_are_there_are_counted(tmp_path: Path, site: Site) -> None:
    """A list that somebody has shortened is another one, although as many lists are there."""
    write_lists(tmp_path, lists_of(3, "a"), number=1)
    first = deliver(tmp_path, site)["version"]
    write_lists(tmp_path, lists_of(3, "b"), number=2)
    deliver(tmp_path, site)
    client: Any = redis.Redis.from_url(site.settings["url"])
    client.set(f"{site.settings['prefix']}:{first}:lists:u1", "[]")
    other = tmp_path / "other"
    write_lists(other, lists_of(3, "a"), number=3)
    assert deliver(other, site)["status"] == "delivered"
    assert site.read("lists") == lists_of(3, "a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_was_emptied_is_told(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    write_lists(tmp_path, lists_of(3, "a"), number=7)
    deliver(tmp_path, site)
    assert [(one.target, one.number) for one in read_delivered(tmp_path).values()] == [("there", 7)]
    assert not caplog.records
    empty_out(site)
    assert deliver(tmp_path, site)["status"] == "delivered"
    assert "deliver.there is empty, although number 7 was delivered there" in caplog.text
    assert site.read("lists") == lists_of(3, "a")
    (tmp_path / "lists/DELIVERED.json").write_text("{")
    caplog.clear()
    assert deliver(tmp_path, site)["status"] == "current"
    assert "the places of earlier deliveries are not known any more" in caplog.text
    assert len(read_delivered(tmp_path)) == 1
    assert (tmp_path / "lists/damaged-DELIVERED.json").read_text() == "{"


def test_a_delivery_counts_though_its_number_cannot_be_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The place is noted already; readers see the new version."""
    config = config_of(tmp_path, web={"kind": "csv", "path": f"{tmp_path}-a"})
    write_lists(tmp_path, lists_of(3, "a"))
    run_deliver(config)
    write_lists(tmp_path, lists_of(3, "b"))
    (tmp_path / f"lists/DELIVERED.json.{os.getpid()}").mkdir()  # where it is written first
    assert run_deliver(config)["delivered"]["web"]["status"] == "delivered"
    assert "web has its lists, but that is not noted: " in caplog.text


def test_a_target_that_was_moved_or_renamed_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, other = ({"kind": "csv", "path": f"{tmp_path}-{n}"} for n in "ab")
    write_lists(tmp_path, lists_of(3, "a"))
    run_deliver(config_of(tmp_path, web=first))
    assert run_deliver(config_of(tmp_path, site=first))["delivered"]["site"]["status"] == "current"
    record = json.loads(Path(f"{tmp_path}-a/CURRENT.json").read_text())
    assert record["target"] == "site"
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    run_deliver(config_of(tmp_path, site=other))
    assert "deliver.site was at another place before: the lists there stay" in caplog.text
    caplog.clear()
    run_deliver(config_of(tmp_path, site=other, web=first))
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", ["redis"])
def test_two_names_of_one_server_are_noticed(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    url = site.settings["url"]
    by_name = {**site.settings, "url": url.replace("127.0.0.1", "localhost")}
    config = config_of(tmp_path, one=site.settings, other=by_name)
    with pytest.raises(ConfigError, match=r"deliver.other has the lists of deliver.one: both"):
        run_deliver(config)
    assert site.read("lists") == lists_of(3, "a")


def test_a_version_is_marked_before_anything_else_is_in_it(tmp_path: Path) -> None:
    """What a delivery leaves that is killed at its beginning is removed by the next one."""
    folder = Path(f"{tmp_path}-out")
    for name, is_marked in (("000001_0123abcd", True), ("000002_0123abcd", False)):
        (folder / name).mkdir(parents=True)
        if is_marked:
            (folder / name / MARK).touch()
    write_lists(tmp_path, lists_of(3, "a"), number=5)
    version = run_deliver(config_of(tmp_path, there={"kind": "csv", "path": str(folder)}))
    label = version["delivered"]["there"]["version"]
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {label}
