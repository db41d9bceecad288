"""The readers' views of PostgreSQL: rights stay, long readers are not in the way for long."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from conf.errors import TargetDownError
from tests.serving.delivery.readers import Site
from tests.serving.delivery.shops import deliver, lists_of, write_lists

pytestmark = pytest.mark.parametrize("kind", ["postgresql"])


def ask(site: Site, query: str, *given: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(site.settings["url"], autocommit=True) as connection:
        done = connection.execute(query.replace("{}", site.settings["schema"]).encode(), given)
        return done.fetchall() if done.description else []


def test_rights_and_what_is_built_on_a_view_stay(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    deliver(tmp_path, site)
    ask(site, "CREATE VIEW {}.firsts AS SELECT * FROM {}.shop WHERE position = 1")
    ask(site, "GRANT SELECT ON {}.shop TO pg_monitor")
    write_lists(tmp_path, lists_of(4, "b"))
    deliver(tmp_path, site)
    assert [row[0] for row in ask(site, "SELECT item_id FROM {}.firsts")] == ["b-0"] * 4
    may = ask(site, "SELECT has_table_privilege('pg_monitor', '{}.shop', 'SELECT')")
    assert may == [(True,)]


def test_a_look_up_reads_the_columns_as_they_are(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    deliver(tmp_path, site)
    query = (
        "SELECT score, reasons, texts->>'en', channels, rules, why_fallback, propensity "
        "FROM {}.shop WHERE user_id = %s ORDER BY position"
    )
    first, second, _ = ask(site, query, "u1")
    assert first == (1.0, None, None, None, ["pin:first"], "no_history", 0.5)
    why = [{"item_id": "a-1-why", "weight": 0.25}]
    text = 'Because of "a-1", \\ and ü'
    assert second == (0.5, why, text, ["model", "popular"], None, None, 0.5)
    keys = ask(
        site,
        "SELECT count(*) FROM pg_indexes WHERE schemaname = '{}' "
        "AND indexdef LIKE '%%UNIQUE%%(user_id, \"position\")%%' AND 1 = %s",
        1,
    )
    assert keys == [(1,)]


def test_the_control_table_tells_what_is_there(tmp_path: Path, site: Site) -> None:
    version = write_lists(tmp_path, lists_of(3, "a"), number=7)
    deliver(tmp_path, site)
    query = "SELECT name, number, version_id, delivered_at <= now() FROM {}.headrace_versions"
    assert ask(site, query) == [("shop", 7, version, True)]


def test_a_long_reader_makes_a_delivery_wait(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    deliver(tmp_path, site)
    write_lists(tmp_path, lists_of(3, "b"))
    with psycopg.connect(site.settings["url"]) as reader:
        reader.execute(f"SELECT * FROM {site.settings['schema']}.shop".encode())
        with pytest.raises(TargetDownError, match="somebody reads the lists in a long transaction"):
            deliver(tmp_path, site, timeout_seconds=2)
        assert site.read("lists") == lists_of(3, "a")
    assert deliver(tmp_path, site, timeout_seconds=2)["status"] == "delivered"
    assert site.read("lists") == lists_of(3, "b")


def test_the_view_of_a_scenario_that_is_gone_stays_and_is_empty(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"), scenarios={"cart": lists_of(2, "c")})
    deliver(tmp_path, site)
    view = SQL("CREATE VIEW {} AS SELECT * FROM {}")
    schema, table = site.settings["schema"], f"{site.settings['table']}_cart"
    names = [Identifier(schema, one) for one in ("mine", table)]
    with psycopg.connect(site.settings["url"]) as connection:
        connection.execute(view.format(*names))
    write_lists(tmp_path, lists_of(3, "b"))
    deliver(tmp_path, site, keep=0)
    assert site.read("lists") == lists_of(3, "b")
    assert site.read("scenarios.cart") == {}
    assert len(site.versions()) == 1
    write_lists(tmp_path, lists_of(3, "c"), scenarios={"cart": lists_of(2, "d")})
    deliver(tmp_path, site)
    assert site.read("scenarios.cart") == lists_of(2, "d")
