"""Models whose weights learned from people who were erased since.

An erasure takes rows away, but not what weights have learned from them. Such a model stays as it
is until another one is trained, and no training starts from it.
"""

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from conf.contract import MANIFEST_NAME, Bundle
from conf.privacy.erased import FOLDER, RECEIPTS, has_erased
from conf.workspace.folders import listed, manifests_of
from conf.workspace.json_files import read_checked, read_record, write_json

log = logging.getLogger(__name__)
Learned = Literal["no", "yes", "unknown"]
FIELD = "learned_from_erased"
WITHOUT_THEM = "run headrace run, or etl and then train, for a model without them"
_TOLD: dict[Learned, str] = {
    "no": "learned from nobody who was erased since",
    "yes": "learned from users who were erased since",
    "unknown": "may have learned from users who were erased since (its dataset is gone, or that of "
    "the model that it started from)",
}


class _Receipt(BaseModel):
    """What is read of the receipt of an erasure."""

    removed: dict[str, dict[str, int]]


def learned_from_erased(workspace: Path, model: str) -> Learned:
    """Return whether a committed model learned from people who were erased since.

    Releases that did not note it are judged by the receipts of erasures.
    """
    bundle = _bundle(workspace, model)
    if bundle is None:
        return "unknown"
    noted: Learned | None = bundle.get(FIELD)
    if noted is not None or not has_erased(workspace):
        return noted or "no"
    return _judged(workspace, bundle, "yes" if _had_erased(workspace, bundle) else "no")


def told_learned(learned: Learned) -> str:
    """Return in words what a model learned from."""
    return _TOLD[learned]


def warn_of_erased(workspace: Path, model: str, stage: str) -> None:
    """Warn if a model that is used or published learned from people who were erased since."""
    learned = learned_from_erased(workspace, model)
    if learned != "no":
        log.warning("%s: model %s %s; %s", stage, model, _TOLD[learned], WITHOUT_THEM)


def note_learned(workspace: Path) -> dict[str, Learned]:
    """Note in each bundle whether the model learned from erased people.

    To be called when all models of datasets that had these people are noted already.

    Returns:
        The models that did, or may have.
    """
    found: dict[str, Learned] = {}
    for path in manifests_of(workspace, "models"):
        bundle, model = read_checked(path, Bundle), path.parent.name
        learned = _judged(workspace, bundle, learned_from_erased(workspace, model))
        if learned != "no":
            found[model] = learned
        if bundle.get(FIELD) != learned:
            write_json(path, {**bundle, FIELD: learned})
    return found


def _judged(workspace: Path, bundle: dict[str, Any], own: Learned) -> Learned:
    """Return what a model learned from, itself or with the model that it started from."""
    parent = (bundle["config"].get("train") or {}).get("warm_start", {}).get("model")
    if own == "yes":
        return own
    inherited: Learned = "no"
    if parent is not None:
        parent_bundle = _bundle(workspace, parent)
        inherited = "unknown"
        if parent_bundle is not None:
            of_parent = learned_from_erased(workspace, parent)
            inherited = _judged(workspace, parent_bundle, of_parent)
    if "yes" in (own, inherited):
        return "yes"
    if "unknown" in (own, inherited) or not _has_dataset(workspace, bundle):
        return "unknown"
    return "no"


def _bundle(workspace: Path, model: str) -> dict[str, Any] | None:
    path = workspace / "models" / model / MANIFEST_NAME["models"]
    return read_checked(path, Bundle) if path.is_file() else None


def _has_dataset(workspace: Path, bundle: dict[str, Any]) -> bool:
    path = workspace / "datasets" / str(bundle["dataset_id"]) / MANIFEST_NAME["datasets"]
    return path.is_file()


def _had_erased(workspace: Path, bundle: dict[str, Any]) -> bool:
    """Return whether users were removed from a model's dataset, according to the receipts."""
    dataset = f"datasets/{bundle['dataset_id']}"
    receipts = [read_record(path, _Receipt) for path in listed(workspace / FOLDER, RECEIPTS)]
    return any("users" in receipt.removed.get(dataset, {}) for receipt in receipts)
