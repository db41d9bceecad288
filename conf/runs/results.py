"""What a stage tells of a version: its figures, and what it was made from."""

from pathlib import Path
from typing import Any

from conf.contract import CARD_NAME, MANIFEST_NAME, REPORT_NAME
from conf.errors import VersionError
from conf.workspace.versions import read_json

Result = dict[str, Any]


def manifest_of(workspace: Path, kind: str, version: str) -> Result:
    """Return a committed version's manifest as it stands there."""
    path = workspace / kind / version / MANIFEST_NAME[kind]
    if not path.is_file():
        raise VersionError(f"{path} does not exist: {version} is no committed version")
    return read_json(path)


def figures_of(folder: Path, manifest: Result) -> Result:
    """Return what of a manifest belongs in the stage's result."""
    shown: tuple[str, ...] = ("content", "counts", "ledger", "gates", "short_lists")
    figures: Result = {key: manifest[key] for key in shown if manifest.get(key) is not None}
    metrics = folder / "metrics.json"
    if metrics.is_file():
        figures["metrics"] = read_json(metrics)
    for key, name in (("report", REPORT_NAME), ("card", CARD_NAME)):
        if (folder / name).is_file():
            figures[key] = str(folder / name)
    for account in figures.get("ledger", {}).values():
        account.pop("files", None)
    return figures


def origin_of(workspace: Path, kind: str, pointer: Result) -> Result:
    """Return which version a pointer names and what that was made from."""
    manifest = manifest_of(workspace, kind, pointer["id"])
    shown = ("logical_date", "as_of", "dataset_id", "model_id", "counts")
    made_from = {key: manifest[key] for key in shown if key in manifest}
    return {"id": pointer["id"], "number": pointer["number"], **made_from}
