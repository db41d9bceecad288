"""Say what happened after lists were published: read the log, join, count, compare, estimate."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import MANIFEST_NAME, ListsManifest, Manifest
from conf.errors import ConfigError, HeadraceError, InputError
from conf.settings.config import Config
from conf.workspace.instants import DAY, day_of, first_instant
from conf.workspace.json_files import is_there
from conf.workspace.versions import read_manifest
from serving.given_files.cells import EVENTS_OPTION
from serving.outcome.events import Events, Names, acts_of, read_logs
from serving.outcome.impressions import Impressions, Ledger, join
from serving.outcome.joining import Codes
from serving.outcome.listed import Listed, Reader, no_rows
from serving.outcome.notes import notes_of, require_some
from serving.outcome.policy import OPTION, Limits, cases_of, judged_policy
from serving.outcome.published import (
    known_ids,
    knows_until,
    policy_version,
    published,
    segments_of,
)
from serving.outcome.showings import Days
from serving.outcome.tables import comparison_rows, size_warnings, version_rows
from serving.outcome.timeline import Timeline

log = logging.getLogger(__name__)
Result = dict[str, Any]


class _Log(NamedTuple):
    """What was read: events, and the versions that they can be of."""

    dataset: Manifest
    """Of the current lists."""
    catalogue: np.ndarray
    """Numbers of the items of the dataset."""
    events: Events
    timeline: Timeline
    days: Days
    manifests: Mapping[int, ListsManifest]
    """Versions that are there, by their number in the timeline."""
    gone: Sequence[int]
    """Versions of the days that are not there any more."""
    reader: Reader


def run(
    config: Config,
    *,
    files: Sequence[str],
    first: date | None = None,
    last: date | None = None,
    policy: str | None = None,
) -> Result:
    """Return what happened after lists were shown.

    Args:
        config: The run's configuration.
        files: The files of events.
        first: First day (UTC) that counts; None: that of the first event.
        last: Last day; None: that of the last event.
        policy: Version of lists whose value is estimated; None: none.

    Returns:
        `days`, `dataset`, `counts` (what counts as shown and as a success), `versions` (rates),
        `comparisons` (of canaries), `ledger`, `gone`, `notes`, and with a policy `policies` (a row
        for each scenario that can be estimated) and `refused` (the others, with `why`).

    Raises:
        ConfigError: When an option does not fit the workspace.
        InputError: When a file is wrong or of other days, or when a policy cannot be estimated in
            any scenario; then `made` has the other figures.
        VersionError: When a version is damaged, or all of them are gone.
    """
    _require_dated(config)
    workspace = Path(config.run.output).resolve()
    wanted = None if policy is None else policy_version(workspace, policy)
    read = _read(config, workspace, files, first, last)
    shown, ledger = _joined(config, read)
    require_some(ledger, read.timeline, read.days, read.gone)
    result = _figures(config, workspace, read, shown, ledger)
    log.info("outcome: %d impressions of %d versions", len(shown.user), len({*shown.version}))
    return result if wanted is None else _judged(config, workspace, wanted, shown, read, result)


def _require_dated(config: Config) -> None:
    if not config.input.is_dated:
        raise ConfigError(
            "outcome needs times, but the events of input.events have none (time_unit is 'order'); "
            "it cannot say what came after what"
        )


def _read(
    config: Config, workspace: Path, files: Sequence[str], first: date | None, last: date | None
) -> _Log:
    current, history = published(workspace)
    dataset = read_manifest(workspace, "datasets", current.dataset_id, Manifest)
    known = known_ids(workspace, dataset)
    names = Names(Codes(known["item"].to_pylist()), Codes())
    catalogue = np.arange(len(names.items))
    events = read_logs(config, dataset, files, names, known)
    user_ids = pa.array(events.user_ids, pa.string())
    timeline = Timeline(history, user_ids, config.run.name)
    days = _days(events, first, last)
    manifests, gone = _manifests(
        workspace, timeline, days, has_others=config.outcome.list_id is not None
    )
    reader = Reader(workspace, user_ids, names)
    return _Log(dataset, catalogue, events, timeline, days, manifests, gone, reader)


def _days(events: Events, first: date | None, last: date | None) -> Days:
    """Return the days that count: those of the options, or of the events."""
    if not len(events.time):
        raise InputError(f"{EVENTS_OPTION}: there are no events in the files; give others")
    oldest, newest = int(events.time.min()), int(events.time.max())
    start = oldest // DAY * DAY if first is None else first_instant(first)
    end = newest // DAY * DAY if last is None else first_instant(last)
    if end < start:
        raise InputError(
            f"{EVENTS_OPTION} has events from {day_of(oldest)} to {day_of(newest)}, and none of "
            "the days asked for; change --from and --to"
        )
    return Days(start, end + DAY)


def _manifests(
    workspace: Path, timeline: Timeline, days: Days, *, has_others: bool
) -> tuple[dict[int, ListsManifest], list[int]]:
    """Return the versions that events can be of, by number, and those of the days that are gone.

    Args:
        workspace: Folder of the workspace.
        timeline: Has the versions.
        days: Days of the events.
        has_others: Whether events may name lists that were current before these days.
    """
    current, found, gone = timeline.current_in(days.start, days.end), {}, []
    for number, name in enumerate(timeline.versions):
        if number not in current and not has_others:
            continue
        if is_there(workspace / "lists" / name / MANIFEST_NAME["lists"]):
            found[number] = read_manifest(workspace, "lists", name, ListsManifest)
        elif number in current:
            gone.append(number)
    return found, gone


def _joined(config: Config, read: _Log) -> tuple[Impressions, Ledger]:
    return join(
        read.events,
        read.timeline,
        read.days,
        lambda version, users: read.reader.read(read.manifests[version], users),
        readable=frozenset(read.manifests),
        catalogue=read.catalogue,
        within_hours=config.outcome.within_hours,
        has_shown=config.outcome.shown is not None,
    )


def _figures(
    config: Config, workspace: Path, read: _Log, shown: Impressions, ledger: Ledger
) -> Result:
    """Return all entries of the result that need no policy."""
    acts, timeline = acts_of(config), read.timeline
    scenarios, channels = read.reader.scenarios.texts, read.reader.channels.texts
    segments = segments_of(config.outcome.segment, workspace, read.dataset, read.reader.user_ids)
    most = max(acts.values())
    there = frozenset(timeline.versions[number] for number in read.manifests)
    compared = comparison_rows(shown, timeline, scenarios, most, there)
    notes = notes_of(config, read.events, shown, ledger, read.gone, timeline)
    return {
        "days": [day_of(read.days.start), day_of(read.days.end - 1)],
        "dataset": read.dataset.id,
        "counts": {
            "shown": config.outcome.shown,
            "acted": acts,
            "within_hours": config.outcome.within_hours,
        },
        "versions": version_rows(shown, timeline, scenarios, channels, segments, most),
        "comparisons": compared,
        "ledger": ledger,
        "gone": [timeline.versions[number] for number in read.gone],
        "notes": notes + size_warnings(compared),
    }


def _judged(
    config: Config,
    workspace: Path,
    policy: ListsManifest,
    shown: Impressions,
    read: _Log,
    result: Result,
) -> Result:
    """Return a result with the estimates of a policy in each scenario that was shown.

    Raises:
        ConfigError: When nothing that was shown has a propensity.
        InputError: When no scenario can be estimated; `made` has the result.
    """
    has = np.isfinite(shown.listed.propensity)
    if not has.any():
        raise _with(result, ConfigError(
            f"{OPTION}={policy.id!r} needs lists with a propensity, and those that were shown have "
            "none; set score.exploration, publish lists, and ask again with the events after that"
        ))  # fmt: skip
    users = np.unique(shown.user)
    wanted = read.reader.read(policy, users)
    lists, version = _whole_lists(read, np.unique(shown.version[has]), users)
    limits = Limits(config.outcome.min_support, config.outcome.min_effective)
    most, until = max(acts_of(config).values()), knows_until(workspace, policy)
    policies, refused = list[Result](), list[Result]()
    for number, name in enumerate(read.reader.scenarios.texts):
        of_log = np.flatnonzero(shown.listed.scenario == number)
        if not len(of_log):
            continue
        of_policy, here = (np.flatnonzero(rows.scenario == number) for rows in (wanted, lists))
        cases = cases_of(
            shown.taken(of_log), wanted.taken(of_policy), lists.taken(here), version[here], until
        )
        try:
            one = judged_policy(policy.id, cases, limits, most)
        except InputError as error:
            refused.append({"policy": policy.id, "scenario": name or None, "why": str(error)})
        else:
            policies.append({"scenario": name or None, **one})
    result = {**result, "policies": policies, "refused": refused}
    if not policies:
        whys = [f"{one['scenario']}: {one['why']}" if one["scenario"] else one["why"]
                for one in refused]  # fmt: skip
        raise _with(result, InputError("\n".join(whys)))
    return result


def _whole_lists(read: _Log, versions: np.ndarray, users: np.ndarray) -> tuple[Listed, np.ndarray]:
    """Return the lists of some users in some versions, and the version of each row."""
    parts, numbers = [no_rows()], [np.zeros(0, dtype=np.int64)]
    for number in versions.tolist():
        parts.append(read.reader.read(read.manifests[number], users))
        numbers.append(np.full(len(parts[-1].user), number))
    return Listed(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(numbers)


def _with(result: Result, error: HeadraceError) -> HeadraceError:
    """Return an error that brings the figures that were made before it."""
    error.made = {"stage": "outcome", "status": "refused", **result}
    return error
