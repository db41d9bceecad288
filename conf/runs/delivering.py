"""The targets of section `deliver`: give them what is published, and erase users from them."""

from collections.abc import Callable
from pathlib import Path

from conf.errors import HeadraceError
from conf.runs.by_name import call_stage
from conf.runs.results import FAILED, Result
from conf.settings.config import Config


def with_delivery(config: Config, result: Result, target: str | None = None) -> Result:
    """Deliver what is current now, if there are targets; return the result with what happened.

    The workspace's lock is held. What is published stays so, whatever happens.

    Args:
        config: The run's configuration.
        result: The result of the command so far.
        target: Name of the only target; None: all.

    Raises:
        HeadraceError: When a target was not delivered to; its `made` is the result.
    """
    if not config.deliver:
        return result
    told, error = call_stage(
        "serving.delivery.deliver",
        "run",
        Path(config.run.output),
        config.run.name,
        config.deliver,
        target,
    )
    result = {**result, "delivered": told}
    if error is not None:
        error.made = {**result, "status": FAILED}
        raise error
    return result


def erase_delivered(
    config: Config,
    names: frozenset[str],
    before: str,
    note: Callable[[str, dict[str, int]], None],
) -> tuple[set[str], HeadraceError | None]:
    """Remove users from the targets of section `deliver`, see `serving.delivery.erasing.run`."""
    found: tuple[set[str], HeadraceError | None] = call_stage(
        "serving.delivery.erasing",
        "run",
        Path(config.run.output),
        config.run.name,
        config.deliver,
        names,
        before,
        note,
    )
    return found
