"""Every kind of target: whole versions, once, in the order of their numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from conf.errors import ConfigError, VersionError
from conf.runs.managing import run_deliver, run_rollback
from conf.workspace.pointers import promote, publish, rollback
from conf.workspace.publications import in_canary
from serving.delivery.versions import new_label
from tests.serving.delivery.conftest import KINDS
from tests.serving.delivery.readers import Site
from tests.serving.delivery.shops import (
    config_of,
    deliver,
    lists_of,
    staged,
    write_lists,
)

pytestmark = pytest.mark.parametrize("kind", KINDS)
CART = {"u1": ["cart-0"], "u2": ["cart-1", "cart-2"]}


def test_readers_see_all_lists_of_the_current_version(tmp_path: Path, site: Site) -> None:
    lists = {**lists_of(9, "a"), 'ü "q", \\ :\t\n': ["with, comma", "", "it's"]}
    write_lists(tmp_path, lists, scenarios={"cart": CART})
    told = deliver(tmp_path, site)
    assert told["status"] == "delivered"
    assert told["kinds"] == {
        "lists": {"rows": 30, "lists": 10}, "scenarios.cart": {"rows": 3, "lists": 2}
    }  # fmt: skip
    assert site.read("lists") == lists
    assert site.read("scenarios.cart") == CART


def test_a_second_delivery_does_nothing(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(5, "a"))
    first = deliver(tmp_path, site)
    before = site.text()
    again = deliver(tmp_path, site)
    assert (again["status"], again["version"]) == ("current", first["version"])
    assert site.text() == before


def test_old_versions_are_removed_but_for_those_that_are_kept(tmp_path: Path, site: Site) -> None:
    labels = []
    for mark in "abcd":
        write_lists(tmp_path, lists_of(5, mark))
        labels.append(deliver(tmp_path, site, keep=1)["version"])
        assert site.read("lists") == lists_of(5, mark)
    assert site.versions() == set(labels[-2:])


def test_a_rollback_switches_to_the_version_that_is_there(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(5, "a"))
    config = config_of(tmp_path, there=site.settings)
    first = run_deliver(config)["delivered"]["there"]["version"]
    write_lists(tmp_path, lists_of(5, "b"))
    run_deliver(config)
    told = run_rollback(config, "lists")["delivered"]["there"]
    assert (told["status"], told["version"]) == ("switched", first)
    assert site.read("lists") == lists_of(5, "a")
    write_lists(tmp_path, lists_of(5, "c"))
    assert run_deliver(config)["delivered"]["there"]["status"] == "delivered"


def test_a_smaller_number_is_refused(tmp_path: Path, site: Site) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    write_lists(early, lists_of(5, "early"), number=6)
    write_lists(late, lists_of(5, "late"), number=7)
    deliver(late, site)
    with pytest.raises(VersionError, match=r"there.* has number 7 .* than number 6"):
        deliver(early, site)
    assert site.read("lists") == lists_of(5, "late")
    assert len(site.versions()) == 1


def test_a_smaller_number_is_refused_at_the_switch_too(tmp_path: Path, site: Site) -> None:
    """It began when it was the newest; another publisher was faster."""
    early, late = tmp_path / "early", tmp_path / "late"
    write_lists(early, lists_of(5, "early"), number=6)
    write_lists(late, lists_of(5, "late"), number=7)
    label = new_label(6)
    place = staged(early, config_of(early, there=site.settings), label)
    deliver(late, site)
    assert label not in site.versions()

    def too_late(old: Any) -> Any:
        assert old.number == 7
        raise VersionError("too late")

    with pytest.raises(VersionError, match="too late"):
        place.switch(too_late)
    place.close()
    assert site.read("lists") == lists_of(5, "late")


def test_another_run_is_refused(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(5, "a"))
    deliver(tmp_path, site)
    config = config_of(tmp_path, there=site.settings)
    other = config.model_copy(update={"run": config.run.model_copy(update={"name": "other"})})
    with pytest.raises(ConfigError, match="has the lists of the run 'shop', not of 'other'"):
        run_deliver(other)
    assert site.read("lists") == lists_of(5, "a")


def test_what_a_cut_off_delivery_left_is_removed_by_the_next(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(5, "a"), number=3)
    deliver(tmp_path, site)
    write_lists(tmp_path, lists_of(5, "b"), number=5)
    staged(tmp_path, config_of(tmp_path, there=site.settings), new_label(5)).close()
    assert len(site.versions()) == 2
    assert site.read("lists") == lists_of(5, "a")
    last = deliver(tmp_path, site, keep=0)["version"]
    assert site.versions() == {last}


@pytest.mark.parametrize("end", [rollback, promote])
def test_a_canary_is_seen_by_its_users_alone(tmp_path: Path, site: Site, end: Any) -> None:
    users = [f"u{user}" for user in range(40)]
    now, later = lists_of(40, "a"), lists_of(40, "b")
    write_lists(tmp_path, now, number=1)
    canary = write_lists(tmp_path, later, is_published=False)
    before = deliver(tmp_path, site)["version"]
    for number, share in ((2, 0.3), (3, 0.6)):
        publish(tmp_path, "lists", canary, "2026-05-31", number, share=share)
        assert deliver(tmp_path, site)["status"] == "delivered"
        sees = set(np.array(users)[in_canary(pa.array(users), share, "shop")])
        assert 0 < len(sees) < len(users)
        assert site.read("lists") == {u: (later if u in sees else now)[u] for u in users}
        assert deliver(tmp_path, site)["status"] == "current"
    end(tmp_path, "lists", 4)
    told = deliver(tmp_path, site)
    if end is rollback:
        assert (told["status"], told["version"]) == ("switched", before)
    assert site.read("lists") == (now if end is rollback else later)


def test_items_and_audiences_are_delivered_if_asked_for(tmp_path: Path, site: Site) -> None:
    write_lists(
        tmp_path, lists_of(3, "a"), similar={"i1": ["i2", "i3"]}, audiences={"tents": ["u1", "u2"]},
        scenarios={"cart": CART},
    )  # fmt: skip
    config = config_of(tmp_path, there=site.settings)
    target = config.deliver["there"].model_copy(
        update={"similar_items": True, "audiences": True, "lists": ("cart",)}
    )
    told = run_deliver(config.model_copy(update={"deliver": {"there": target}}))
    assert told["delivered"]["there"]["kinds"] == {
        "scenarios.cart": {"rows": 3, "lists": 2},
        "similar_items": {"rows": 2, "lists": 1},
        "audiences": {"rows": 2, "lists": 1},
    }
    assert "i3" in site.text()
    assert "tents" in site.text()
    assert "a-0" not in site.text()


def test_other_lists_of_the_target_are_another_version(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"), scenarios={"cart": CART})
    deliver(tmp_path, site)
    config = config_of(tmp_path, there=site.settings)
    target = config.deliver["there"].model_copy(update={"lists": ("default",)})
    told = run_deliver(config.model_copy(update={"deliver": {"there": target}}))
    assert told["delivered"]["there"]["status"] == "delivered"
    assert [*told["delivered"]["there"]["kinds"]] == ["lists"]


def test_lists_that_the_version_lacks_are_no_delivery(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"), scenarios={"cart": CART})
    deliver(tmp_path, site)
    write_lists(tmp_path, lists_of(3, "b"))
    config = config_of(tmp_path, there=site.settings)
    target = config.deliver["there"].model_copy(update={"lists": ("cart",)})
    with pytest.raises(ConfigError, match=r"none of the lists that deliver\.there asks for"):
        run_deliver(config.model_copy(update={"deliver": {"there": target}}))
    assert site.read("lists") == lists_of(3, "a")
