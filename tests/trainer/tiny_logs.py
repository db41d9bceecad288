"""Datasets of logs with almost nothing in them, as the ETL writes them."""

from pathlib import Path

from conf.contract import MANIFEST_NAME, UNKNOWN_IDX, Manifest
from tests.trainer.small_parts import Rows, write_dataset

A, B, C, D = range(2, 6)
NEW = UNKNOWN_IDX

# Training part, target of validation, target of test, number of items.
LOGS: dict[str, tuple[Rows, list[int], list[int], int]] = {
    # Three users with the same four items: each of the two last ones is new when it is held out.
    "three alike": ([[A, B]] * 3, [NEW] * 3, [NEW] * 3, 2),
    "one user": ([[A, B]], [A], [B], 2),
    "one item": ([[A, A]] * 4, [A] * 4, [A] * 4, 1),
    "two items": ([[A, B], [B, A]], [B, A], [A, B], 2),
    "all have seen all": ([[A, B, C]] * 5, [B] * 5, [A] * 5, 3),
    "all the same": ([[A, B, C, D]] * 8, [A] * 8, [B] * 8, 4),
    "one target that can be met": ([[A, B], [B, C]], [C, A], [NEW, NEW], 4),
}


def write_log(workspace: Path, name: str) -> Manifest:
    """Write one of `LOGS` as the current dataset."""
    train, valid, test, items = LOGS[name]
    return write_dataset(workspace, train, valid, test, items=items)


def without_parts(workspace: Path, manifest: Manifest, *parts: str) -> Manifest:
    """Take all rows out of some parts of a committed dataset."""
    files = {**manifest.files, **dict.fromkeys(parts, ())}
    changed = manifest.model_copy(update={"files": files})
    path = workspace / "datasets" / manifest.id / MANIFEST_NAME["datasets"]
    path.write_text(changed.model_dump_json())
    return changed
