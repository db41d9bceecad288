"""Checkpoints that are safe against crashes: a file, then a marker with its size and hash.

Only a checkpoint with a matching marker is used; all others are ignored. The file contains only
tensors and numbers and is read with `weights_only=True`.
"""

import json
from pathlib import Path
from typing import Any

import torch

from conf.workspace.hashes import hash_file
from conf.workspace.versions import write_json

KEPT = 2
"""Number of newest checkpoints that stay on disk."""


def save_checkpoint(folder: Path, number: int, state: dict[str, Any]) -> None:
    """Write checkpoint `number` and remove all but the newest `KEPT`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:08d}.pt"
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)
    marker = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    write_json(path.with_suffix(".json"), marker)
    for old in sorted(folder.glob("*.pt"))[:-KEPT]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest complete checkpoint, its tensors on the CPU; None if there is none."""
    for path in sorted(folder.glob("*.pt"), reverse=True):
        if _is_whole(path):
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    return None


def _is_whole(path: Path) -> bool:
    try:
        marker = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return False
    return bool(path.stat().st_size == marker["bytes"] and hash_file(path) == marker["sha256"])
