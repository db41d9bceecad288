"""Deliver the published lists to the targets of section `deliver`."""

from pathlib import Path

from conf.errors import ConfigError
from conf.privacy.fitting import require_protected
from conf.runs.chosen import require_sound
from conf.runs.results import Result, with_delivery
from conf.runs.stages import DONE, locked
from conf.settings.config import Config
from conf.workspace.pointers import current_version, read_pointer
from conf.workspace.publications import canary_of


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
