"""A shop with published lists and a log of what happened, both made by numpy; rates are known."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import NUM_RESERVED, ListsManifest, ScenarioLists, lists_key
from conf.runs.outcomes import run_outcome
from conf.settings.config import Config
from conf.workspace.json_files import write_json
from conf.workspace.parquet import describe_parquet
from conf.workspace.publications import in_canary
from conf.workspace.versions import commit, new_folder
from serving.publishing.parts import EXPLORED, REFILL, PartLists, lists_table, write_part
from tests.serving.tiny_shop import DAY, read_lists, tiny_config, write_dataset

TYPED = (
    "input.events.log.columns.event_type=type",
    "outcome.acted={buy: 1}",
    "outcome.shown=seen",
)
START = int(datetime.fromisoformat("2026-02-10T00:00:00+00:00").timestamp())
"""Seconds; the first day after which lists are published."""
HOUR, DAYS = 3600, 86_400
Event = tuple[str, str, int, str]


def config_of(workspace: Path, *overrides: str) -> Config:
    return tiny_config(workspace, *TYPED, *overrides)


def write_shop(workspace: Path, users: int, items: int, **more: Any) -> None:
    """Write a dataset with users `u0`, ... and items `i2`, ..., up to the end of January."""
    write_dataset(workspace, [[2]] * users, items=items, group_rows=100_000, **more)


def item_ids(items: int) -> pa.Array:
    names = [f"i{number}" for number in range(NUM_RESERVED, NUM_RESERVED + items)]
    return pa.array([None] * NUM_RESERVED + names, pa.string())


class Lists(NamedTuple):
    """Lists of users `u0`, ...; K places."""

    item: np.ndarray
    """[U, K] int64, from 0; negative for none."""
    propensity: np.ndarray | None = None
    """[U, K]"""
    is_explored: np.ndarray | None = None
    """[U, K] bool"""
    channels: Sequence[str] = ()
    bits: np.ndarray | None = None
    """[U, K] channels by bit."""
    parts: int = 2


def write_lists(
    workspace: Path,
    name: str,
    lists: Lists,
    *,
    day: str = DAY,
    dataset: str = "tiny-dataset",
    scenarios: dict[str, Lists] | None = None,
    without: Sequence[str] = (),
) -> None:
    """Write and commit a version of lists, as the scorer lays it out; nothing is published.

    Args:
        workspace: The workspace.
        name: Id of the version.
        lists: The default lists.
        day: Logical date.
        dataset: Id of the dataset.
        scenarios: Lists of scenarios.
        without: Columns that lists of earlier releases do not have.
    """
    folder = new_folder(workspace, "lists", name)
    files, described = {}, {}
    for scenario, one in {None: lists, **(scenarios or {})}.items():
        place = folder if scenario is None else folder / scenario
        place.mkdir(exist_ok=True)
        files[lists_key(scenario)] = tuple(
            _write_part(folder, place / f"part-{part:05d}.parquet", chosen, one, scenario, without)
            for part, chosen in enumerate(np.array_split(np.arange(len(one.item)), one.parts))
        )
        if scenario is not None:
            described[scenario] = ScenarioLists(
                counts={}, short_lists={}, gates={}, list_length=one.item.shape[1]
            )
    manifest = ListsManifest(
        id=name, request=name, logical_date=day, dataset_id=dataset, model_id="m", counts={},
        config={"score": {"list_length": lists.item.shape[1]}}, short_lists={}, gates={},
        files=files, scenarios=described,
    )  # fmt: skip
    commit(workspace, "lists", manifest)


def _write_part(
    folder: Path,
    path: Path,
    users: np.ndarray,
    lists: Lists,
    scenario: str | None,
    without: Sequence[str],
) -> Any:
    item = np.where(lists.item >= 0, lists.item + NUM_RESERVED, -1)[users]
    shape = item.shape
    rules = None
    if lists.is_explored is not None:
        rules = {REFILL: np.zeros(shape, dtype=bool), EXPLORED: lists.is_explored[users]}
    propensity = None if lists.propensity is None else lists.propensity[users].astype(np.float32)
    table = lists_table(
        pa.array([f"u{user}" for user in users], pa.string()),
        item_ids(int(lists.item.max()) + 1),
        PartLists(
            item, np.zeros(shape, dtype=np.float32),
            np.zeros(shape[0], dtype=np.int8), np.zeros(shape[0], dtype=np.int8),
            np.full((*shape, 1), -1), np.zeros((*shape, 1), dtype=np.float32),
            np.zeros(shape, dtype=np.int64) if lists.bits is None else lists.bits[users],
            rules, propensity,
        ),
        lists.channels,
        scenario,
    )  # fmt: skip
    table = table.drop_columns([name for name in without if name in table.column_names])
    write_part(path, table, request="r", num_users=len(users))
    return describe_parquet(folder, path)


def publish_history(workspace: Path, *published: tuple[str, int, float]) -> None:
    """Write the pointer of lists: id, second and share of each publication, the oldest first."""
    entries = [
        {
            "id": name,
            "number": number,
            "at": datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds"),
            "share": share,
        }
        for number, (name, second, share) in enumerate(published, start=1)
    ]
    full = [name for name, _, share in published if share == 1]
    pointer = {
        "id": full[-1], "logical_date": DAY, "number": len(entries), "withdrawn": [],
        "previous": [*dict.fromkeys(name for name in full[-2::-1] if name != full[-1])],
        "published": entries[::-1],
    }  # fmt: skip
    write_json(workspace / "lists" / "CURRENT.json", pointer)


def write_events(path: Path, events: Sequence[Event] | pa.Table, **columns: Any) -> Path:
    """Write events as Parquet: user, item, second and type, and further columns."""
    if not isinstance(events, pa.Table):
        names = ("user_id", "item_id", "time", "type")
        values = zip(*events, strict=True) if events else [[]] * len(names)
        events = pa.table(dict(zip(names, map(list, values), strict=True)) | columns)
    pq.write_table(events, path)
    return path


def members_of(users: int, share: float, salt: str = "tiny") -> np.ndarray:
    """Return which of the users `u0`, ... are in a canary: [U] bool."""
    return in_canary(pa.array([f"u{user}" for user in range(users)]), share, salt)


def shown_and_bought(
    lists: np.ndarray, second: int, appeal: np.ndarray, place: np.ndarray, rng: Any
) -> tuple[pa.Table, np.ndarray]:
    """Return the events of one showing of whole lists, and what was bought.

    Args:
        lists: [U, K] items from 0.
        second: When they are shown; users buy a minute later.
        appeal: [V] probability that an item is bought at a place of attraction 1.
        place: [K] attraction of each place.
        rng: Draws.

    Returns:
        The events, and [U, K] float64, 1 where the item was bought.
    """
    users, length = lists.shape
    bought = rng.random(lists.shape) < appeal[lists] * place
    user = np.repeat(np.arange(users), length)
    rows = np.flatnonzero(bought.ravel())
    who = np.concatenate([user, user[rows]])
    item = np.concatenate([lists.ravel(), lists.ravel()[rows]]) + NUM_RESERVED
    when = np.concatenate([np.full(len(user), second), np.full(len(rows), second + 60)])
    kind = np.array(["seen", "buy"])[np.repeat([0, 1], [len(user), len(rows)])]
    events = pa.table({
        "user_id": [f"u{one}" for one in who], "item_id": [f"i{one}" for one in item],
        "time": when, "type": kind,
    })  # fmt: skip
    return events, bought.astype(np.float64)


def outcome_of(config: Config, *files: Path | str, **more: Any) -> dict[str, Any]:
    """Return the result of `headrace outcome`."""
    return run_outcome(config, [str(file) for file in files], **more)


def counted(config: Config, events: list[Event], **more: Any) -> dict[str, Any]:
    columns = more.pop("columns", {})
    path = write_events(Path(config.run.output) / "events.parquet", events, **columns)
    return outcome_of(config, path, **more)


def row_of(result: dict[str, Any], version: str, scenario: str | None = None) -> dict[str, Any]:
    [row] = [
        row for row in result["versions"]
        if row["version"] == version and row["scenario"] == scenario
    ]  # fmt: skip
    return row


def list_ids(folder: Path) -> dict[str, str]:
    """Return the id of each user's list in a folder of lists."""
    return {row["user_id"]: row["list_id"] for row in read_lists(folder)}
