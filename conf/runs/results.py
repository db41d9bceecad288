"""What a stage reports about a version: its figures, and what it was made from."""

from pathlib import Path
from typing import Any

from conf.contract import CARD_NAME, MANIFEST_NAME, REPORT_NAME
from conf.errors import VersionError
from conf.workspace.versions import read_json

Result = dict[str, Any]


def manifest_of(workspace: Path, kind: str, version: str) -> Result:
    """Return the manifest of a committed version as a mapping."""
    path = workspace / kind / version / MANIFEST_NAME[kind]
    if not path.is_file():
        raise VersionError(f"{path} does not exist: {version} is not a committed version")
    return read_json(path)


def figures_of(folder: Path, manifest: Result) -> Result:
    """Return the manifest's entries that are printed as the stage's result."""
    shown: tuple[str, ...] = (
        "content",
        "counts",
        "ledger",
        "figures",
        "short_lists",
        "fallbacks",
        "users_without_lists",
    )
    figures: Result = {key: manifest[key] for key in shown if manifest.get(key) is not None}
    if manifest.get("cuts"):
        figures["cuts"] = manifest["cuts"]
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
    """Return the version that a pointer names and what it was made from."""
    manifest = manifest_of(workspace, kind, pointer["id"])
    shown = ("logical_date", "as_of", "dataset_id", "model_id", "counts")
    made_from = {key: manifest[key] for key in shown if key in manifest}
    return {"id": pointer["id"], "number": pointer["number"], **made_from}
