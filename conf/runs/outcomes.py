"""Say what happened after lists were published, as figures and as a page."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from conf.errors import ConfigError
from conf.privacy.fitting import require_protected
from conf.runs.by_name import call_stage
from conf.runs.chosen import MAKE_AGAIN
from conf.runs.results import Result, manifest_of
from conf.settings.config import Config
from conf.workspace.pointers import current_version

STAGE = "outcome"


def run_outcome(
    config: Config,
    events: Sequence[str],
    days: tuple[str | None, str | None, str | None] = (None, None, None),
    policy: str | None = None,
    output: Path | None = None,
) -> Result:
    """Join published lists with the events after them; write a page of it.

    Args:
        config: The run's configuration.
        events: Files of `--events`.
        days: Of `--date`, `--from` and `--to`.
        policy: Version whose lists are estimated; None: none.
        output: HTML file to write; None: one in `comparisons/` of the workspace.

    Returns:
        `stage`, `status`, what `serving.outcome.measure.run` returns, and `page`, the path.

    Raises:
        ConfigError: When the options do not go together, or do not fit the workspace.
        InputError: When a file of events is wrong or of other days, or when the policy cannot be
            estimated in any scenario; then `made` has the other figures.
        VersionError: When nothing is published, or a version is damaged or gone.
    """
    first, last = _days(*days)
    if not events:
        raise ConfigError(
            "outcome needs --events FILE: the events after the publication, in the form of a log "
            "of input.events (.csv, .jsonl, .parquet)"
        )
    workspace = Path(config.run.output)
    dataset = manifest_of(workspace, "lists", current_version(workspace, "lists"))["dataset_id"]
    require_protected(config, "datasets", dataset, MAKE_AGAIN)
    found: Result = call_stage(
        "serving.outcome.measure",
        "run",
        config,
        files=tuple(events),
        first=first,
        last=last,
        policy=policy,
    )
    result: Result = {"stage": STAGE, "status": "done", **found}
    page = call_stage("serving.outcome.page", "write_outcome", workspace, result, output)
    return {**result, "page": str(page)}


def _days(day: str | None, first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """Return the first and the last day, None for the options that are not given.

    Raises:
        ConfigError: When the options contradict each other.
    """
    if day is not None and (first is not None or last is not None):
        raise ConfigError("--date is one day, and --from and --to are others; leave one out")
    if day is not None:
        first = last = day
    begin, end = (None if one is None else date.fromisoformat(one) for one in (first, last))
    if begin is not None and end is not None and end < begin:
        raise ConfigError(f"--to={end} is before --from={begin}; swap them")
    return begin, end
