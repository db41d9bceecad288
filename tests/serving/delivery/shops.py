"""Small workspaces with published lists, written as the scorer leaves them; deliver and erase."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import DataFile, ListFigures, ListsManifest, ScenarioLists
from conf.runs.managing import run_deliver, run_erase
from conf.settings.config import Config
from conf.workspace.hashes import canonical_hash
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from serving.delivery.places import form_of, opened
from serving.delivery.reading import Published
from serving.delivery.versions import Place
from tests.serving.delivery.readers import Site

RUN = "shop"
KEY = "0123456789abcdef0123456789abcdef"
NAMES = [f"token{number}token" for number in range(6)]
GONE, LEFT = NAMES[1:3], [NAMES[0], *NAMES[3:]]
"""Users of `NAMES` whom tests erase, and the others."""
_REASON = pa.struct([pa.field("item_id", pa.string()), pa.field("weight", pa.float32())])
SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("reasons", pa.list_(_REASON)),
        pa.field("why_fallback", pa.string()),
        pa.field("why_short", pa.string()),
        pa.field("texts", pa.struct([("en", pa.string()), ("de", pa.string())])),
        pa.field("channels", pa.list_(pa.string())),
        pa.field("rules", pa.list_(pa.string())),
        pa.field("propensity", pa.float32()),
    ]
)
Lists = Mapping[str, Sequence[str]]


def lists_of(users: int, mark: str, length: int = 3) -> dict[str, list[str]]:
    """Return lists whose items tell which version they are of."""
    return {f"u{user}": [f"{mark}-{place}" for place in range(length)] for user in range(users)}


def table_of(lists: Lists) -> pa.Table:
    """Return lists as rows with every column in use."""
    rows = [
        {
            "user_id": user,
            "position": place + 1,
            "item_id": item,
            "score": 1 / (place + 1),
            "source": "model" if place else "fallback",
            "reasons": [{"item_id": f"{item}-why", "weight": 0.25}] if place else None,
            "why_fallback": None if place else "no_history",
            "why_short": None,
            "texts": {"en": f'Because of "{item}", \\ and ü', "de": None} if place else None,
            "channels": ["model", "popular"] if place else None,
            "rules": ["pin:first"] if place == 0 else None,
            "propensity": 0.5,
        }
        for user, items in lists.items()
        for place, item in enumerate(items)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_lists(
    workspace: Path,
    lists: Lists,
    *,
    day: str = "2026-05-31",
    scenarios: Mapping[str, Lists] | None = None,
    similar: Lists | None = None,
    audiences: Mapping[str, Sequence[str]] | None = None,
    parts: int = 2,
    number: int | None = None,
    is_published: bool = True,
) -> str:
    """Write, commit and publish a version; return its id."""
    request = canonical_hash([lists, scenarios, similar, audiences, day])
    version = f"{RUN}-{day}-{request[:12]}"
    folder = workspace / "lists" / version
    folder.mkdir(parents=True)
    files = {"lists": _parts(folder, "", lists, parts)}
    told = {}
    for name, own in (scenarios or {}).items():
        files[f"scenarios.{name}"] = _parts(folder, f"{name}/", own, parts)
        told[name] = ScenarioLists(list_length=3, **_figures(own))
    counts = None
    if similar is not None:
        rows = [
            {"item_id": item, "position": place + 1, "similar_id": other, "score": 0.5}
            for item, others in similar.items()
            for place, other in enumerate(others)
        ]
        files["similar_items"] = (_put(folder, "similar_items/part-00000.parquet", rows),)
        counts = {"items": len(similar), "lists": len(similar), "rows": len(rows)}
    if audiences:
        files["audiences"] = tuple(
            _put(folder, f"audiences/{name}.parquet", [
                {"user_id": user, "position": place + 1, "score": 0.25}
                for place, user in enumerate(users)
            ])
            for name, users in audiences.items()
        )  # fmt: skip
    commit(workspace, "lists", ListsManifest(
        id=version, request=request, logical_date=day, dataset_id="none", model_id="none",
        config={"score": {"list_length": 3}}, files=files, scenarios=told, similar_items=counts,
        audiences={name: {"items": 1, "users": len(u)} for name, u in (audiences or {}).items()},
        **_figures(lists),
    ))  # fmt: skip
    if is_published:
        publish(workspace, "lists", version, day, number)
    return version


def config_of(workspace: Path, **deliver: Any) -> Config:
    """Return a configuration with targets."""
    return Config.model_validate({
        "run": {"name": RUN, "output": str(workspace)},
        "input": {"root": "none", "events": {"log": {"paths": ["none"], "time_unit": "seconds"}}},
        "etl": {"event_types": {"view": {}}},
        "deliver": deliver,
    })  # fmt: skip


def with_key(config: Config) -> Config:
    """Return a configuration with a key, which an erasure needs."""
    privacy = {"privacy": {"key": KEY}}
    return Config.model_validate({**config.model_dump(mode="json", by_alias=True), **privacy})


def deliver(workspace: Path, site: Site, **more: Any) -> dict[str, Any]:
    """Deliver what is published to the site; return what is told of it."""
    config = config_of(workspace, there={**site.settings, **more})
    told: dict[str, Any] = run_deliver(config)["delivered"]["there"]
    return told


def staged(workspace: Path, config: Config, label: str) -> Place:
    """Write a version to the target `there`, as a delivery that is cut off; return the target."""
    place = opened("there", config.deliver["there"])
    form = form_of(config.deliver["there"])
    place.stage(label, Published(workspace, RUN).delivery("there", config.deliver, form))
    return place


def lists_for(names: Sequence[str], mark: str) -> dict[str, list[str]]:
    """Return lists of some users, whose items tell which version they are of."""
    return {name: [f"{mark}-{place}" for place in range(3)] for name in names}


def write_two(workspace: Path, config: Config, names: Sequence[str]) -> None:
    """Deliver two versions with lists, a scenario and an audience."""
    for mark in "ab":
        lists = lists_for(names, mark)
        audiences = {"tents": names, "few": names[1:2]}
        write_lists(workspace, lists, scenarios={"cart": lists}, audiences=audiences)
        run_deliver(config)


def erase(workspace: Path, config: Config, *users: str, gone: Sequence[str] = ()) -> dict[str, Any]:
    """Erase users, and give up targets that are gone; return the result."""
    path = workspace / "users.txt"
    path.write_text("\n".join(users))
    return run_erase(config, path, gone)


def _figures(lists: Lists) -> dict[str, Any]:
    rows = sum(len(items) for items in lists.values())
    counts = {"users": len(lists), "lists": len(lists), "rows": rows}
    return ListFigures(counts=counts, short_lists={}, gates={}).model_dump()


def _parts(folder: Path, before: str, lists: Lists, parts: int) -> tuple[DataFile, ...]:
    users = [*lists]
    size = -(-len(users) // parts) or 1
    files = []
    for part in range(parts):
        own = {user: lists[user] for user in users[part * size : (part + 1) * size]}
        path = folder / f"{before}part-{part:05d}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table_of(own), path, row_group_size=1000, write_page_checksum=True)
        files.append(describe_parquet(folder, path))
    return tuple(files)


def _put(folder: Path, name: str, rows: list[dict[str, Any]]) -> DataFile:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    types = {"position": pa.int32(), "score": pa.float32()}
    names = [*rows[0]]
    columns = [pa.array([row[one] for row in rows], types.get(one, pa.string())) for one in names]
    pq.write_table(pa.table(columns, names=names), path, write_page_checksum=True)
    return describe_parquet(folder, path)
