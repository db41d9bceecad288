"""Manage a workspace: go back to an earlier version, remove people."""

import logging
from pathlib import Path

from conf.contract import MAIN, MANIFEST_NAME
from conf.errors import ConfigError, HeadraceError
from conf.privacy.fitting import other_key, require_protected
from conf.privacy.learned import warn_of_erased
from conf.runs.by_name import call_stage
from conf.runs.chosen import require_sound
from conf.runs.results import Result, manifest_of
from conf.runs.roles import require_role
from conf.runs.stages import DONE, KINDS, locked, with_delivery
from conf.settings.config import Config
from conf.workspace.pointers import allow, rollback, versions_before

log = logging.getLogger(__name__)


def run_rollback(
    config: Config, kind: str | None, allowed: str | None = None, role: str = MAIN
) -> Result:
    """Make the version before the current one of `kind` current again.

    Args:
        config: The run's configuration.
        kind: datasets, models or lists; None: lists, or models of a role other than the main one.
        allowed: A withdrawn version that may be published again instead; None: roll back.
        role: Whose models are rolled back.
    """
    kind = kind or ("lists" if role == MAIN else "models")
    if kind not in KINDS:
        raise ConfigError(f"rollback: {kind!r} is not one of {', '.join(KINDS)}")
    if role != MAIN and kind != "models":
        raise ConfigError(f"rollback: only models have roles, but --kind is {kind!r}; use models")
    workspace = Path(config.run.output)
    require_role(workspace, kind, role)
    result: Result = {"stage": "rollback", "status": DONE, "kind": kind}
    result |= {} if role == MAIN else {"role": role}
    with locked(config) as lease:
        if allowed is not None:
            with lease.kept():
                allow(workspace, kind, allowed, role)
            return {**result, "id": allowed, "allowed": allowed}
        before = versions_before(workspace, kind, role)[0]
        require_sound(config, kind, before)
        require_protected(config, kind, before, "stay with the current version")
        _warn(config, kind, before)
        with lease.kept() as number:
            current, withdrawn = rollback(workspace, kind, number, role=role)
        result |= {"id": current, "current": current, "withdrawn": withdrawn}
        return with_delivery(config, result) if kind == "lists" else result


def _warn(config: Config, kind: str, version: str) -> None:
    """Log what a version that is gone back to shows of people."""
    workspace = Path(config.run.output)
    model = version if kind == "models" else None
    if kind == "lists":
        model = manifest_of(workspace, kind, version)["model_id"]
        key = other_key(config, version)
        if key is not None:
            log.warning(
                "rollback: lists/%s has labels that the key %s made: readers find users under "
                "other ids than in lists of the configured key",
                version,
                key,
            )
    if model is not None and (workspace / "models" / model / MANIFEST_NAME["models"]).is_file():
        warn_of_erased(workspace, model, "rollback")


def run_erase(config: Config, users: Path) -> Result:
    """Remove the users that a file names from the whole workspace."""
    with locked(config, is_erasure=True):
        result: Result = call_stage(
            "conf.erasure.erase", "run", config, users=users, erase_delivered=_erase_delivered
        )
    return result


def _erase_delivered(
    config: Config, names: frozenset[str]
) -> tuple[dict[str, dict[str, int]], HeadraceError | None]:
    """Remove users from the targets of section `deliver`, see `serving.delivery.erasing.run`."""
    found: tuple[dict[str, dict[str, int]], HeadraceError | None] = call_stage(
        "serving.delivery.erasing",
        "run",
        Path(config.run.output),
        config.run.name,
        config.deliver,
        names,
    )
    return found
