"""Manage a workspace: go back to an earlier version, remove people."""

from pathlib import Path

from conf.errors import ConfigError
from conf.privacy.fitting import require_protected
from conf.privacy.learned import warn_of_erased
from conf.runs.results import Result
from conf.runs.stages import DONE, KINDS, call_stage, locked, require_sound
from conf.settings.config import Config
from conf.workspace.versions import allow, rollback, versions_before


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
    result: Result = {"stage": "rollback", "status": DONE, "kind": kind}
    with locked(config) as lease:
        if allowed is not None:
            with lease.kept():
                allow(workspace, kind, allowed)
            return {**result, "id": allowed, "allowed": allowed}
        before = versions_before(workspace, kind)[0]
        require_sound(config, kind, before)
        require_protected(config, kind, before, "stay with the current version")
        if kind == "models":
            warn_of_erased(workspace, before, "rollback")
        with lease.kept() as number:
            current, withdrawn = rollback(workspace, kind, number)
    return {**result, "id": current, "current": current, "withdrawn": withdrawn}


def run_erase(config: Config, users: Path) -> Result:
    """Remove the users that a file names from the whole workspace."""
    with locked(config):
        result: Result = call_stage("conf.erasure.erase", "run", config, users=users)
    return result
