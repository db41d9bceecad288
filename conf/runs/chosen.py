"""Which committed version a run uses, and whether it may be used or published."""

from pathlib import Path

from conf.contract import MAIN, MANIFEST_NAME, MANIFESTS
from conf.errors import VersionError
from conf.privacy.fitting import require_protected
from conf.runs.by_name import call_stage
from conf.runs.results import manifest_of, metrics_of
from conf.settings.config import Config
from conf.workspace.folders import manifests_of
from conf.workspace.pointers import current_version, read_pointer
from conf.workspace.versions import read_manifest, require_files

MAKE_AGAIN = "run headrace etl, and then the stages after it, to make it again"


def require_sound(config: Config, kind: str, version: str) -> None:
    """Check a version that is there already, before it is published or gone back to.

    Raises:
        VersionError: When a file of it is missing, has another size or, with
            `run.verify: checksums`, other content.
    """
    workspace = Path(config.run.output)
    manifest = read_manifest(workspace, kind, version, MANIFESTS[kind])
    if config.run.verify == "checksums":
        require_files(workspace / kind / version, manifest, by_content=True)


def require_publishable(config: Config, model_id: str, role: str = MAIN) -> None:
    """Refuse a model that failed the gate on quality, unless it was published before.

    Args:
        config: The configuration of the role.
        model_id: The model.
        role: Its role.

    Raises:
        GateError: See `trainer.algorithms.quality_gate.require_passed`.
    """
    workspace = Path(config.run.output)
    pointer = read_pointer(workspace, "models", role) or {"id": None, "previous": []}
    was_published = model_id in (pointer["id"], *pointer["previous"])
    folder = workspace / "models" / model_id
    call_stage(
        "trainer.algorithms.quality_gate",
        "require_passed",
        metrics_of(folder),
        folder,
        "warn" if was_published and config.train.gate == "refuse" else config.train.gate,
    )


def chosen_version(config: Config, kind: str, logical_date: str | None, role: str = MAIN) -> str:
    """Return a role's current version, or the newest one published for `logical_date`."""
    workspace = Path(config.run.output)
    current = current_version(workspace, kind, role)
    if logical_date is None:
        return current
    pointer = read_pointer(workspace, kind, role) or {}
    others = [path.parent.name for path in manifests_of(workspace, kind)]
    for version in dict.fromkeys([current, *pointer.get("previous", []), *others]):
        path = workspace / kind / version / MANIFEST_NAME[kind]
        manifest = manifest_of(workspace, kind, version) if path.is_file() else {}
        is_asked = manifest.get("logical_date") == logical_date
        if is_asked and manifest.get("role", MAIN) == role:
            return str(version)
    raise VersionError(
        f"{workspace / kind} has no version of {logical_date}; "
        "run the earlier stage with that --date first"
    )


def protected_dataset(config: Config) -> str:
    """Return the current dataset, unless it shows more of people than the configuration allows."""
    dataset = chosen_version(config, "datasets", None)
    require_protected(config, "datasets", dataset, MAKE_AGAIN)
    return dataset
