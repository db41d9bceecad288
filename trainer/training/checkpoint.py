"""Checkpoints that are safe against crashes: a file, then a marker with its size and hash.

Only a checkpoint with a matching marker is used; all others are ignored. The file contains only
tensors and numbers and is read with `weights_only=True`.
"""

import logging
from pathlib import Path
from typing import Any

import torch

from conf.errors import VersionError
from conf.workspace.hashes import hash_file
from conf.workspace.json_files import is_there, read_json, write_json, written_whole
from conf.workspace.storage import raise_storage_failure, require_room

log = logging.getLogger(__name__)

KEPT = 2
"""Number of newest checkpoints that stay on disk."""


def save_checkpoint(folder: Path, number: int, state: dict[str, Any]) -> None:
    """Write checkpoint `number` and remove all but the newest `KEPT`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:08d}.pt"
    require_room(folder, _tensor_bytes(state), "a checkpoint")
    with written_whole(path) as stream:
        torch.save(state, stream)
    marker = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    write_json(path.with_suffix(".json"), marker)
    for old in sorted(folder.glob("*.pt"))[:-KEPT]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest complete checkpoint, its tensors on the CPU; None if there is none."""
    for path in sorted(folder.glob("*.pt"), reverse=True):
        fault = _fault(path)
        if fault is None:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        log.warning("train: the checkpoint %s is passed over: %s", path, fault)
    return None


def _fault(path: Path) -> str | None:
    """Return why a checkpoint cannot be used; None: it can."""
    if path.is_symlink() or not path.is_file():
        return "it is no plain file"
    if not is_there(path.with_suffix(".json")):
        return "it has no marker, so it is not complete"
    try:
        marker = read_json(path.with_suffix(".json"))
        if path.stat().st_size != marker.get("bytes") or hash_file(path) != marker.get("sha256"):
            return "its size or SHA-256 is not that of its marker"
    except VersionError as error:
        return str(error)
    except OSError as error:
        raise_storage_failure(error, path)
        return f"it cannot be read: {error.strerror}"
    return None


def _tensor_bytes(state: Any) -> int:
    """Return the bytes of all tensors in a nested structure."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        state = list(state.values())
    return sum(map(_tensor_bytes, state)) if isinstance(state, list | tuple) else 0
