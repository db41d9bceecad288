"""A tiny shop, and files of users whom it shall make lists for."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from conf.contract import Manifest
from conf.runs.predicting import run_visitors
from conf.settings.config import Config
from serving.scoring.worker import PartScorer, ScoringJob
from tests.serving.tiny_shop import (
    HISTORIES,
    ITEMS,
    SECOND,
    read_lists,
    tiny_config,
    write_dataset,
    write_model,
)

TYPED = "input.events.log.columns.event_type=event_type"
REGIONS = ["north", "south", "north", None, "south", "north", "north", "south"]
TABLE = ("input.users={paths: [none], id_column: user_id, fields: {region: {}}}",)
KEY = "privacy.key=${oc.env:HEADRACE_TEST_KEY}"


def shop(folder: Path, *overrides: str, **more: Any) -> tuple[Config, Manifest, str]:
    config = tiny_config(folder, TYPED, "train.model.event_types=true", *overrides)
    fields = {"region": pa.array(REGIONS), "num_events": pa.array([len(h) for h in HISTORIES])}
    # One microsecond is no whole second, so these histories have times that a file can name.
    times = [[SECOND * (400_000_000 + n) for n in range(len(h))] for h in HISTORIES]
    manifest = write_dataset(
        folder, HISTORIES, items=ITEMS, user_fields=fields, times=times, **more
    )
    return config, manifest, write_model(config, manifest)


def published(config: Config, manifest: Manifest, model_id: str) -> dict[str, list[Any]]:
    """Return the lists of the dataset's users, as the scorer's parts have them."""
    folder = Path(config.run.output)
    job = ScoringJob(folder, manifest.id, model_id, "r", folder, config.score)
    for part in range(len(manifest.row_groups("histories"))):
        PartScorer(job).score(part)
    found = by_user(read_lists(folder))
    for path in folder.glob("part-*.parquet"):
        path.unlink()
    return found


def by_user(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the rows of each user; scores of users in other batches differ in the last digits."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        reasons = [(one["item_id"], round(one["weight"], 4)) for one in row["reasons"] or ()]
        same = {**row, "score": round(row["score"], 4), "reasons": reasons}
        same.pop("list_id")  # it is of this user alone
        found.setdefault(same.pop("user_id"), []).append(same)
    return found


def events_of(user: int, name: str) -> list[dict[str, Any]]:
    """Return the history of a user of the dataset as events of somebody else."""
    return [
        {"user_id": name, "item_id": f"i{item}", "event_type": ("view", "buy")[place % 2],
         "time": 400_000_000 + place}
        for place, item in enumerate(HISTORIES[user])
    ]  # fmt: skip


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path)
    return path


def made(
    config: Config, folder: Path, events: list[dict[str, Any]] | None,
    users: list[dict[str, Any]] | None = None, suffix: str = ".csv",
) -> tuple[dict[str, Any], dict[str, list[Any]]]:  # fmt: skip
    files = [
        None if rows is None else written(folder / f"{name}{suffix}", rows)
        for name, rows in (("events", events), ("users", users))
    ]
    result = run_visitors(config, *files, folder / "lists.parquet")
    return result, by_user(pq.read_table(folder / "lists.parquet").to_pylist())
