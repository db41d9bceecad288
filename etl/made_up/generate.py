"""Write the log of a made-up shop to disk, day by day, with known bad rows in it.

Memory grows with the users, the items and the events of one day. Every bad row has one defect,
and `planted.json` contains the number of each defect, under the names of the ledger's reasons.
"""

import dataclasses
import json
import shutil
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from conf.errors import ConfigError, VersionError
from conf.settings.config import Config
from conf.workspace.json_files import read_json
from etl.made_up.shop import DAY_SECONDS, EVENT_TYPES, DayEvents, Shop, ShopSpec
from etl.made_up.tables import numbered_ids, write_tables

PLANTED_NAME = "planted.json"
_BAD_TIMES = ("not-a-time", "2026-13-45T99:00:00Z", None)
_SHARES = {
    "duplicate": "duplicate_share",
    "user_missing": "missing_user_share",
    "item_missing": "missing_item_share",
    "time_unparsable": "bad_time_share",
    "time_in_future": "future_time_share",
    "price_negative": "negative_price_share",
}


def run(config: Config) -> dict[str, Any]:
    """Write the shop of the section `generate` to `input.root`; see `generate_shop`."""
    assert config.generate is not None, "the caller has checked the section"
    spec = ShopSpec(seed=config.run.seed, **config.generate.model_dump())
    return generate_shop(spec, Path(config.input.root))


def generate_shop(spec: ShopSpec, folder: Path) -> dict[str, Any]:
    """Write events/, items.csv, users.csv and planted.json; return the contents of the last.

    The bytes depend on the spec only. A folder that already contains the same shop is left
    unchanged; a folder with anything else is refused.

    Raises:
        ConfigError: When the folder contains something else, or a bot has more events than a day
            has seconds.
    """
    if spec.bot_events > DAY_SECONDS:
        raise ConfigError(
            f"generate.bot_events={spec.bot_events} is too large: a bot makes one event per second "
            f"at most, and a day has {DAY_SECONDS} seconds; lower it"
        )
    wanted = json.loads(json.dumps(dataclasses.asdict(spec), default=str))
    if folder.exists() and any(folder.iterdir()):
        planted = _read_planted(folder)
        if planted is None or planted["spec"] != wanted:
            raise ConfigError(
                f"{folder} contains something other than this shop; remove it, or set "
                "input.root to another folder"
            )
        return planted
    making = folder.with_name(f".{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    (making / "events").mkdir(parents=True)
    shop = Shop(spec)
    write_tables(shop, making)
    planted = {"spec": wanted, **_write_events(shop, making / "events")}
    (making / PLANTED_NAME).write_text(json.dumps(planted, indent=1))
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rmdir()
    making.rename(folder)
    return planted


def _read_planted(folder: Path) -> dict[str, Any] | None:
    try:
        planted = read_json(folder / PLANTED_NAME)
    except VersionError:
        return None
    return planted if "spec" in planted else None


def _write_events(shop: Shop, folder: Path) -> dict[str, Any]:
    spec = shop.spec
    users, items = (
        numbered_ids("u", spec.num_users + spec.num_bots),
        numbered_ids("i", spec.num_items),
    )
    rng = np.random.default_rng([spec.seed, 4])
    bot_days = rng.integers(0, spec.num_days, spec.num_bots)
    again = set(rng.permutation(spec.num_days)[: spec.num_redelivered_files].tolist())
    planted = dict.fromkeys([*_SHARES, "bot", "redelivered_file"], 0)
    files: dict[str, int] = {}
    clean = 0
    for day in range(spec.num_days):
        events = shop.day(day)
        bots = spec.num_users + np.flatnonzero(bot_days == day)
        table = _clean_rows(shop, day, _with_bots(shop, day, events, bots), users, items)
        table, dirt = _with_dirt(shop, day, table, len(events.user))
        name = f"events-{spec.first_day + timedelta(days=day)}.csv"
        csv.write_csv(table, folder / name, csv.WriteOptions(quoting_style="needed"))
        files[name] = table.num_rows
        clean += len(events.user)
        planted["bot"] += len(bots) * spec.bot_events
        for reason, count in dirt.items():
            planted[reason] += count
        if day in again:
            copy = name.replace(".csv", "-redelivered.csv")
            shutil.copyfile(folder / name, folder / copy)
            files[copy] = table.num_rows
            planted["redelivered_file"] += table.num_rows
    last_day = spec.first_day + timedelta(days=spec.num_days - 1)
    return {
        "files": files,
        "rows_written": sum(files.values()),
        "rows_clean": clean,
        "planted": planted,
        "first_day": str(spec.first_day),
        "last_day": str(last_day),
    }


def _with_bots(shop: Shop, day: int, events: DayEvents, bots: np.ndarray) -> DayEvents:
    """Return the day's events, followed by those of its bots."""
    count = shop.spec.bot_events
    rng = np.random.default_rng([shop.spec.seed, 5, day])
    parts = [events]
    for bot in bots:
        seconds = np.arange(count) * (DAY_SECONDS // count)
        old = np.flatnonzero(shop.released <= day)
        views = np.zeros(count, dtype=np.int64)
        session = np.full(count, bot)
        parts.append(
            DayEvents(np.full(count, bot), rng.choice(old, count), views, seconds, session)
        )
    return DayEvents(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _clean_rows(
    shop: Shop, day: int, events: DayEvents, users: pa.Array, items: pa.Array
) -> pa.Table:
    date_part = pa.scalar(f"{shop.spec.first_day + timedelta(days=day)}T")
    clock = _clock().take(pa.array(events.second))
    return pa.table(
        {
            "event_id": _event_ids(day, np.arange(len(events.user))),
            "user_id": users.take(pa.array(events.user)),
            "item_id": items.take(pa.array(events.item)),
            "event_type": pa.array(EVENT_TYPES).take(pa.array(events.event_type)),
            "time": pc.binary_join_element_wise(date_part, clock, ""),
            "price": pa.array(shop.price[events.item]),
            "session_id": _joined(f"s{day}-", events.session),
        }
    )


def _with_dirt(
    shop: Shop, day: int, table: pa.Table, num_clean: int
) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows mixed with spoilt copies of clean ones, and the number of each defect."""
    spec, rng = shop.spec, np.random.default_rng([shop.spec.seed, 3, day])
    counts = {
        reason: int(rng.binomial(num_clean, getattr(spec, share)))
        for reason, share in _SHARES.items()
    }
    parts, fresh = [table], table.num_rows
    for reason, count in counts.items():
        copies = table.take(pa.array(rng.choice(max(num_clean, 1), count, replace=False)))
        if reason != "duplicate":
            copies = _set(copies, "event_id", _event_ids(day, fresh + np.arange(count)))
            fresh += count
        parts.append(_spoilt(copies, reason))
    keys = np.concatenate(
        [
            np.arange(table.num_rows),
            rng.uniform(0, table.num_rows, sum(counts.values())),
        ]
    )
    joined = pa.concat_tables(parts)
    return joined.take(pa.array(np.argsort(keys, kind="stable"))), counts


def _spoilt(rows: pa.Table, reason: str) -> pa.Table:
    if reason == "user_missing":
        return _set(rows, "user_id", pa.nulls(rows.num_rows, pa.string()))
    if reason == "item_missing":
        return _set(rows, "item_id", pa.nulls(rows.num_rows, pa.string()))
    if reason == "time_unparsable":
        bad = [_BAD_TIMES[row % len(_BAD_TIMES)] for row in range(rows.num_rows)]
        return _set(rows, "time", pa.array(bad, pa.string()))
    if reason == "time_in_future":
        return _set(rows, "time", pc.replace_substring_regex(rows["time"], r"^\d{4}", "2096"))
    if reason == "price_negative":
        return _set(rows, "price", pc.negate(rows["price"]))
    return rows


@cache
def _clock() -> pa.Array:
    """Return 00:00:00Z to 23:59:59Z; looking up a time is ten times as fast as formatting it."""
    seconds = pa.array(np.arange(DAY_SECONDS).astype("datetime64[s]"))
    return pc.strftime(seconds, "%H:%M:%SZ")


def _event_ids(day: int, numbers: np.ndarray) -> pa.Array:
    return _joined(f"e{day}-", numbers)


def _joined(prefix: str, numbers: np.ndarray) -> pa.Array:
    text = pc.cast(pa.array(numbers), pa.string())
    return pc.binary_join_element_wise(pa.scalar(prefix), text, "")


def _set(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
