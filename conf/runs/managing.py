"""Manage a workspace: go back to an earlier version, remove people."""

from pathlib import Path

from conf.errors import ConfigError
from conf.runs.results import Result
from conf.runs.stages import DONE, KINDS, call_stage, locked, require_sound
from conf.settings.config import Config
from conf.workspace.versions import allow, read_pointer, rollback


def run_rollback(config: Config, kind: str, allowed: str | None = None) -> Result:
    """Make the version before the current one of `kind` current again.

    Args:
        config: The run's configuration.
        kind: datasets, models or lists.
        allowed: A withdrawn version that may be published again instead; None: roll back.
    """
    if kind not in KINDS:
        raise ConfigError(f"rollback: {kind!r} is not one of {', '.join(KINDS)}")
    workspace = Path(config.run.output)
    with locked(config) as lease, lease.kept() as number:
        if allowed is not None:
            allow(workspace, kind, allowed)
            return {"stage": "rollback", "status": "allowed", "kind": kind, "id": allowed}
        before = read_pointer(workspace, kind)
        version = rollback(workspace, kind, lambda id_: require_sound(config, kind, id_), number)
    withdrawn = None if before is None else before["id"]
    result = {"stage": "rollback", "status": DONE, "kind": kind, "id": version}
    return {**result, "current": version, "withdrawn": withdrawn}


def run_erase(config: Config, users: Path) -> Result:
    """Remove the users that a file names from the whole workspace."""
    with locked(config):
        result: Result = call_stage("conf.erasure.erase", "run", config, users=users)
    return result
