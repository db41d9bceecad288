"""Keys in Redis expire, but not while deliveries go on."""

from pathlib import Path
from typing import Any

import pytest
import redis

from tests.serving.delivery.readers import Site
from tests.serving.delivery.shops import deliver, lists_of, write_lists

pytestmark = pytest.mark.parametrize("kind", ["redis"])
HOUR = 3600


def times(site: Site) -> dict[str, int]:
    """Return the seconds that each key has left; -1: it stays."""
    client: Any = redis.Redis.from_url(site.settings["url"], decode_responses=True)
    return {key: client.ttl(key) for key in client.keys(f"{site.settings['prefix']}:*")}


def age(site: Site, hours_left: int) -> None:
    """Let all keys that expire have some hours left."""
    client: Any = redis.Redis.from_url(site.settings["url"])
    for key, left in times(site).items():
        if left > 0:
            client.expire(key, hours_left * HOUR)


def test_only_the_record_stays_for_ever(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(5, "a"))
    deliver(tmp_path, site, ttl_hours=50)
    found, prefix = times(site), site.settings["prefix"]
    assert {key for key, left in found.items() if left == -1} == {
        f"{prefix}:current", f"{prefix}:versions",
    }  # fmt: skip
    assert all(49 * HOUR < left <= 50 * HOUR for left in found.values() if left != -1)


def test_a_delivery_renews_what_is_half_over(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(5, "a"))
    deliver(tmp_path, site, ttl_hours=50)
    age(site, 26)
    assert deliver(tmp_path, site, ttl_hours=50)["status"] == "current"
    assert max(times(site).values()) == 26 * HOUR
    age(site, 24)
    assert deliver(tmp_path, site, ttl_hours=50)["status"] == "current"
    assert all(left > 49 * HOUR for left in times(site).values() if left != -1)
    assert deliver(tmp_path, site, ttl_hours=None)["status"] == "current"
    assert set(times(site).values()) == {-1}
    assert deliver(tmp_path, site, ttl_hours=50)["status"] == "current"
    assert all(left > 49 * HOUR for key, left in times(site).items() if ":u" in key)


def test_what_has_expired_is_delivered_again(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(5, "a"))
    first = deliver(tmp_path, site)["version"]
    client: Any = redis.Redis.from_url(site.settings["url"])
    client.delete(f"{site.settings['prefix']}:{first}:whole")
    client.delete(f"{site.settings['prefix']}:{first}:lists:u1")
    told = deliver(tmp_path, site)
    assert told["status"] == "delivered"
    assert told["version"] != first
    assert site.read("lists") == lists_of(5, "a")
    assert site.versions() == {told["version"]}


def test_an_earlier_version_that_has_lost_a_list_is_not_gone_back_to(
    tmp_path: Path, site: Site
) -> None:
    write_lists(tmp_path, lists_of(5, "a"), number=1)
    first = deliver(tmp_path, site)["version"]
    write_lists(tmp_path, lists_of(5, "b"), number=2)
    deliver(tmp_path, site)
    client: Any = redis.Redis.from_url(site.settings["url"])
    client.delete(f"{site.settings['prefix']}:{first}:lists:u1")
    other = tmp_path / "other"
    write_lists(other, lists_of(5, "a"), number=3)
    assert deliver(other, site)["status"] == "delivered"
    assert site.read("lists") == lists_of(5, "a")
