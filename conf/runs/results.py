"""What a stage reports about a version: its figures, and what it was made from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.contract import CARD_NAME, MANIFEST_NAME, MANIFESTS, METRICS_NAME, REPORT_NAME, Bundle
from conf.errors import VersionError
from conf.privacy.learned import learned_from_erased
from conf.settings.score import Score
from conf.workspace.folders import manifests_of
from conf.workspace.json_files import is_there, read_json, read_named, read_record
from conf.workspace.mending import mend
from conf.workspace.publications import Canary, canary_of

Result = dict[str, Any]
FAILED = "failed"
_OF_LISTS = ("counts", "figures", "short_lists", "fallbacks", "users_without_lists")
_OF_SCENARIO = ("users", "lists", "full_lists")  # in the status
_ANONYMITY = ("k_asked", "k_reached", "rows_generalised", "rows_suppressed")


def manifest_of(workspace: Path, kind: str, version: str) -> Result:
    """Return the manifest of a committed version as a mapping."""
    path = workspace / kind / version / MANIFEST_NAME[kind]
    if not is_there(path):
        raise VersionError(f"{path} does not exist: {version} is not a committed version")
    if getattr(read_record(path, MANIFESTS[kind]), "id") != version:  # noqa: B009
        raise VersionError(f"{path} is the manifest of another version; {mend(path)}")
    return read_json(path)


def figures_of(folder: Path, manifest: Result) -> Result:
    """Return the manifest's entries that are printed as the stage's result."""
    shown: tuple[str, ...] = ("content", "counts", "ledger", *_OF_LISTS)
    figures: Result = {key: manifest[key] for key in shown if manifest.get(key) is not None}
    for key in ("rules", "diversity", "cuts"):
        if manifest.get(key):
            figures[key] = manifest[key]
    if manifest.get("scenarios"):
        figures["scenarios"] = {
            name: {
                key: one[key]
                for key in (*_OF_LISTS, "rules", "diversity")
                if one.get(key) is not None
            }
            for name, one in manifest["scenarios"].items()
        }
    privacy = manifest.get("privacy") or {}
    if privacy.get("k_asked") is not None:
        figures["anonymity"] = {key: privacy[key] for key in _ANONYMITY}
    metrics = metrics_of(folder)
    if metrics:
        figures["metrics"] = metrics
    for key, name in (("report", REPORT_NAME), ("card", CARD_NAME)):
        if (folder / name).is_file():
            figures[key] = str(folder / name)
    for account in figures.get("ledger", {}).values():
        account.pop("files", None)
    return figures


def with_verdicts(figures: Result, verdicts: Result) -> Result:
    """Return the figures of a version with the verdicts of its gates, scenario by scenario."""
    both = {**figures, **verdicts}
    if "scenarios" in both:
        both["scenarios"] = {
            name: {**one, **verdicts.get("scenarios", {}).get(name, {})}
            for name, one in figures["scenarios"].items()
        }
    return both


def cost_of_lists(score: Score, users: int, seconds: float) -> dict[str, float]:
    """Return what lists cost that were made in one go; {} without users.

    Returns:
        `users_per_second`, and `core_hours_per_million_users`: hours of all cores that the scoring
        workers were given, Ray's start and the check of the lists included.
    """
    if not users or seconds <= 0:
        return {}
    cores = score.workers * score.cpus_per_worker
    return {
        "users_per_second": round(users / seconds, 1),
        "core_hours_per_million_users": round(cores * seconds / 3600 / users * 1e6, 2),
    }


def metrics_of(folder: Path) -> Result:
    """Return a model's figures; {} if the version has none.

    Raises:
        VersionError: When the file is not the one that the model was committed with.
    """
    path, bundle = folder / METRICS_NAME, folder / MANIFEST_NAME["models"]
    if not is_there(path) or not is_there(bundle):
        return {}
    files = read_record(bundle, Bundle).files.get("model", ())
    entry = next((file for file in files if file.path == path.name), None)
    return read_json(path) if entry is None else read_named(path, entry)


def origin_of(workspace: Path, kind: str, pointer: Result) -> Result:
    """Return the version that a pointer names and what it was made from."""
    manifest = manifest_of(workspace, kind, pointer["id"])
    shown = ("logical_date", "as_of", "dataset_id", "model_id", "counts")
    made_from = {key: manifest[key] for key in shown if key in manifest}
    if manifest.get("scenarios"):
        made_from["scenarios"] = {
            name: {key: one["counts"][key] for key in _OF_SCENARIO}
            for name, one in manifest["scenarios"].items()
        }
    if kind == "models":
        made_from |= _model_facts(manifest, metrics_of(workspace / kind / pointer["id"]))
        learned = learned_from_erased(workspace, pointer["id"])
        made_from |= {} if learned == "no" else {"learned_from_erased": learned}
    earlier = [
        version
        for version in pointer["previous"]
        if is_there(workspace / kind / version / MANIFEST_NAME[kind])  # not removed since
    ]
    others = {
        "canary": _of_canary(workspace, kind, canary_of(pointer)),
        "earlier": earlier,
        "withdrawn": list(pointer["withdrawn"]),
    }
    kept = {key: value for key, value in others.items() if value}
    return {"id": pointer["id"], "number": pointer["number"], **made_from, **kept}


def _of_canary(workspace: Path, kind: str, canary: Canary | None) -> Result:
    """Return the version that a share of the users sees; {} if there is none."""
    if canary is None:
        return {}
    manifest = manifest_of(workspace, kind, canary.id)
    shown: tuple[str, ...] = ("dataset_id", "model_id")
    made_from: Result = {key: manifest[key] for key in shown if key in manifest}
    return {
        "id": canary.id,
        "share": canary.share,
        "since": canary.at,
        "logical_date": canary.logical_date,
        **made_from,
    }


def refused_models(workspace: Path, published: Sequence[str]) -> list[str]:
    """Return the models that a baseline beats and that were never published."""
    committed = manifests_of(workspace, "models")
    return [
        path.parent.name
        for path in committed
        if path.parent.name not in published
        and (metrics_of(path.parent).get("gate") or {}).get("verdict") == "beaten"
    ]


def _model_facts(manifest: Result, metrics: Result) -> Result:
    """Return what kind of model it is, and how it compares with its baselines."""
    gate = metrics.get("gate") or {"verdict": "unchecked"}
    facts = {"algorithm": manifest.get("algorithm"), "gate": gate["verdict"]}
    return facts | ({"auto": metrics["auto"]["reason"]} if "auto" in metrics else {})
