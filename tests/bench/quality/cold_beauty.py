"""Amazon Beauty with items that nobody has had: a tenth of them lose all their training events.

`python -m tests.bench.quality.cold_beauty SOURCE FOLDER` writes the log as a split that is given,
and a table of the items with their attributes and codes; `cold-beauty.yaml` next to this file reads
both from workspace/cold-beauty/log.
"""

import csv
import gzip
import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conf.contract import MODEL_NAME

COLD_SHARE = 0.1
CODES = tuple(f"code_{place}" for place in range(1, 5))


def write_cold_beauty(source: Path, folder: Path, *, seed: int = 1) -> int:
    """Write train.csv, valid.csv, test.csv and items.csv; return how many items are cold.

    A user's last event is the test, the one before it the validation. Of items that are cold,
    events stand in the test alone.

    Args:
        source: Folder of the published files.
        folder: Where the files go.
        seed: Of the choice of the items.
    """
    with gzip.open(source / "Beauty.txt.gz", "rt") as stream:
        histories = [line.split() for line in stream]
    items = sorted({item for _, *events in histories for item in events}, key=int)
    cold = set(random.Random(seed).sample(items, int(COLD_SHARE * len(items))))
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "valid": [], "test": []}
    for user, *events in histories:
        named = [*["train"] * (len(events) - 2), "valid", "test"]
        for part, item in zip(named, events, strict=True):
            if part == "test" or item not in cold:
                parts[part].append((user, item))
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in parts.items():
        _write(folder / f"{part}.csv", ["user", "item"], rows)
    _write(folder / "items.csv", ["item", "attributes", *CODES], _item_rows(source, items))
    return len(cold)


def figures_by_kind(
    segments: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the model's figures where the target is a cold item, and where it is another.

    Args:
        segments: Targets and figures by how popular the target is, as `headrace train` tells them.
        names: Of the figures.
    """
    kinds = {"cold items": ["cold"], "other items": [name for name in segments if name != "cold"]}
    found = {}
    for title, own in kinds.items():
        parts = [segments[name] for name in own if name in segments]
        targets = sum(part["targets"] for part in parts)
        found[f"{MODEL_NAME}, {title}"] = {
            name: sum(part["targets"] * part[MODEL_NAME][name]["value"] for part in parts) / targets
            for name in names
        }
    return found


def _item_rows(source: Path, items: list[str]) -> list[list[str]]:
    attributes = _read(source / "Beauty_item2attributes.json.gz")
    codes = _read(source / "Beauty_semantic_ids.json.gz")
    return [
        [item, "|".join(map(str, attributes.get(item, []))), *map(str, codes.get(item, [""] * 4))]
        for item in items
    ]


def _read(path: Path) -> dict[str, list[int]]:
    with gzip.open(path, "rt") as stream:
        found: dict[str, list[int]] = json.load(stream)
    return found


def _write(path: Path, header: list[str], rows: list[tuple[str, str]] | list[list[str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


if __name__ == "__main__":
    print(write_cold_beauty(Path(sys.argv[1]), Path(sys.argv[2])), "items are cold")
