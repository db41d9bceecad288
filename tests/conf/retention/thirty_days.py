"""A workspace of daily versions: datasets, networks, rankers and lists, as nightly runs leave it.

Each network started from that of the day before. The newest lists were rolled back.
"""

import json
from pathlib import Path
from typing import Any

from conf.contract import MAIN, RANKER, Bundle, ListsManifest, Manifest, Vocabulary
from conf.settings.config import Config
from conf.workspace.pointers import publish, rollback
from conf.workspace.versions import commit

Graph = dict[tuple[str, str], list[tuple[str, str]]]
"""What each version was made from, by kind and id."""


def config_of(workspace: Path, **more: Any) -> Config:
    return Config.model_validate({
        "run": {"name": "shop", "output": str(workspace)},
        "input": {"root": "none", "events": {"log": {"paths": ["none"], "time_unit": "seconds"}}},
        "etl": {"event_types": {"view": {}}, **more.pop("etl", {})},
        **more,
    })  # fmt: skip


def day_of(number: int) -> str:
    return f"2026-01-{number:02d}"


def write_dataset(workspace: Path, name: str, day: str) -> None:
    put(workspace / "datasets" / name, 1000)
    put(workspace / "identities" / name, 100)
    commit(workspace, "datasets", Manifest(
        id=name, request="r", logical_date=day, as_of=day, config={}, columns={}, files={},
        vocabularies={}, event_types=("view",), ledger={}, counts={},
    ))  # fmt: skip


def write_model(
    workspace: Path, name: str, day: str, dataset: str, role: str = MAIN, start: str | None = None
) -> None:
    put(workspace / "models" / name, 500)
    commit(workspace, "models", Bundle(
        id=name, request="r", logical_date=day, dataset_id=dataset, role=role, model={}, files={},
        algorithm="neural" if role == MAIN else "ranking",
        vocabularies={"item": Vocabulary(size=5, fingerprint="f")},
        config={"train": {"warm_start": {"model": start}}},
    ))  # fmt: skip


def write_lists(
    workspace: Path, name: str, day: str, dataset: str, model: str, models: dict[str, str]
) -> None:
    put(workspace / "lists" / name, 200)
    commit(workspace, "lists", ListsManifest(
        id=name, request="r", logical_date=day, dataset_id=dataset, model_id=model, models=models,
        config={"score": {"list_length": 9}}, counts={}, short_lists={}, gates={}, files={},
    ))  # fmt: skip


def put(folder: Path, size: int) -> None:
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(b"x" * size)


def write_days(workspace: Path, days: int = 30) -> None:
    for number in range(1, days + 1):
        day = day_of(number)
        dataset, model, ranker, lists = (f"{kind}{number}" for kind in ("d", "m", "r", "l"))
        write_dataset(workspace, dataset, day)
        start = f"m{number - 1}" if number > 1 else None
        write_model(workspace, model, day, dataset, start=start)
        write_model(workspace, ranker, day, dataset, RANKER)
        write_lists(workspace, lists, day, dataset, model, {RANKER: ranker})
        publish(workspace, "datasets", dataset, day)
        publish(workspace, "models", model, day)
        publish(workspace, "models", ranker, day, role=RANKER)
        publish(workspace, "lists", lists, day)
    write_model(workspace, "compared5", day_of(5), "d5")  # of headrace compare
    rollback(workspace, "lists")


def there(workspace: Path) -> set[tuple[str, str]]:
    """Return kind and id of all versions, found by their manifests."""
    names = {"datasets": "manifest.json", "models": "bundle.json", "lists": "lists.json"}
    return {
        (kind, path.parent.name)
        for kind, name in names.items()
        for path in (workspace / kind).glob(f"*/{name}")
    }


def graph_of(workspace: Path) -> tuple[Graph, dict[str, str]]:
    """Return what each version needs, and the model that each model started from, from JSON."""
    graph: Graph = {}
    starts = {}
    for kind, version in there(workspace):
        [path] = (workspace / kind / version).glob("*.json")
        found = json.loads(path.read_text())
        needs = [("datasets", found["dataset_id"])] if "dataset_id" in found else []
        needs += [("models", found["model_id"])] if "model_id" in found else []
        needs += [("models", one) for one in found.get("models", {}).values()]
        graph[kind, version] = needs
        start = found["config"].get("train", {}).get("warm_start", {}).get("model")
        if start is not None:
            starts[version] = start
    return graph, starts


def reachable(graph: Graph, seeds: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the versions that some versions need, and those themselves."""
    found: set[tuple[str, str]] = set()
    waiting = [one for one in seeds if one in graph]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [need for need in graph[one] if need in graph]
    return found
