"""Manage a workspace: show lists to all, deliver them, go back, remove versions and people."""

import logging
from collections.abc import Sequence
from pathlib import Path

from conf.contract import MAIN, MANIFEST_NAME
from conf.errors import ConfigError, GateError, VersionError
from conf.privacy.erased import erasure_is_open
from conf.privacy.fitting import other_key, require_protected
from conf.privacy.learned import warn_of_erased
from conf.retention.plan import folders_to_remove, plan_of, told_plan
from conf.retention.versions import Key, read_versions
from conf.runs.by_name import call_stage
from conf.runs.chosen import require_sound
from conf.runs.delivering import erase_delivered, with_delivery
from conf.runs.lineage import needed_again
from conf.runs.results import Result, manifest_of
from conf.runs.roles import require_role
from conf.runs.stages import DONE, KINDS, REFUSED, locked
from conf.settings.config import Config
from conf.workspace.pointers import (
    allow,
    current_version,
    promote,
    read_pointer,
    required_canary,
    rollback,
    versions_before,
)
from conf.workspace.publications import canary_of
from conf.workspace.swap import remove_taken, take_away

log = logging.getLogger(__name__)


def run_rollback(
    config: Config, kind: str | None, allowed: str | None = None, role: str = MAIN
) -> Result:
    """Take the canary of `kind` back, or make the version before the current one current again.

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
        if canary_of(read_pointer(workspace, kind, role)) is None:  # else the current one stays
            before = versions_before(workspace, kind, role)[0]
            require_sound(config, kind, before)
            require_protected(config, kind, before, "stay with the current version")
            _warn(config, kind, before)
        with lease.kept() as number:
            current, withdrawn = rollback(workspace, kind, number, role=role)
        result |= {"id": current, "current": current, "withdrawn": withdrawn}
        return with_delivery(config, result) if kind == "lists" else result


def run_promote(config: Config) -> Result:
    """Make the lists that a share of the users sees the current ones of all.

    Raises:
        ConfigError: When there are none.
        GateError: When a gate refuses them under the limits of this configuration; its `made` has
            the verdicts.
        HeadraceError: When a target was not delivered to; its `made` says what the others have.
    """
    workspace = Path(config.run.output)
    result: Result = {"stage": "promote", "status": DONE, "kind": "lists"}
    with locked(config) as lease:
        version = required_canary(workspace, "lists").id
        require_sound(config, "lists", version)
        require_protected(config, "lists", version, "roll it back")
        manifest = manifest_of(workspace, "lists", version)
        try:
            verdicts: Result = call_stage(
                "serving.gates.verdicts", "require_passed", manifest, config.score, is_current=True
            )
        except GateError as error:
            error.made = {**result, "status": REFUSED, "id": version, **(error.made or {})}
            raise
        with lease.kept() as number:
            current, before = promote(workspace, "lists", number)
        log.info("promote: all users see lists/%s", current)
        found: Result = {**result, "id": current, "current": current, "previous": before}
        return with_delivery(config, {**found, "warnings": verdicts["warnings"]})


def run_deliver(config: Config, target: str | None = None) -> Result:
    """Deliver the current lists to all targets, or to one.

    Args:
        config: The run's configuration.
        target: Name of the target; None: all.

    Raises:
        ConfigError: When there is no such target.
        HeadraceError: When a target was not delivered to; its `made` says what the others have.
    """
    targets = config.deliver
    if not targets:
        raise ConfigError("deliver: there are no targets; name one in the section deliver")
    if target is not None and target not in targets:
        raise ConfigError(f"--target={target!r} is no target: {', '.join(targets)}")
    with locked(config):
        workspace = Path(config.run.output)
        version = current_version(workspace, "lists")
        canary = canary_of(read_pointer(workspace, "lists"))
        for shown in (version, *([] if canary is None else [canary.id])):
            require_sound(config, "lists", shown)
            require_protected(config, "lists", shown, "run headrace score to make others")
        result = {"stage": "deliver", "status": DONE, "id": version}
        return with_delivery(config, result, target)


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


def run_gc(config: Config, dry_run: bool = False) -> Result:
    """Remove the versions that nothing needs, as the section `retention` says.

    Args:
        config: The run's configuration.
        dry_run: Whether to say only what would be removed.

    Raises:
        VersionError: When it cannot be told what a version needs, or an erasure was interrupted;
            then nothing is removed.
    """
    workspace = Path(config.run.output)
    with locked(config) as lease:
        if erasure_is_open(workspace):
            raise VersionError(
                f"{workspace}: an erasure was interrupted, and it has to reach all versions first; "
                "run headrace erase again with the same users, then headrace gc"
            )
        versions = read_versions(workspace)
        asked = {Key(*named): why for named, why in needed_again(config).items()}
        plan = plan_of(workspace, versions, config.retention, asked)
        told = told_plan(workspace, plan)
        if not dry_run:
            for folder in folders_to_remove(workspace, plan):
                with lease.kept():
                    take_away(folder)
                remove_taken(folder.parent)
            log.info("gc: %d versions are removed", len(plan.removed))
    return {"stage": "gc", "status": "dry run" if dry_run else DONE, **told}


def run_erase(config: Config, users: Path, gone: Sequence[str] = ()) -> Result:
    """Remove the users that a file names from the whole workspace.

    Args:
        config: The run's configuration.
        users: The file, with one id of the log on each line.
        gone: Names of targets of lists that are gone for good; the receipt names them.
    """
    with locked(config, is_erasure=True):
        result: Result = call_stage(
            "conf.erasure.erase",
            "run",
            config,
            users=users,
            erase_delivered=erase_delivered,
            gone=gone,
        )
    return result
