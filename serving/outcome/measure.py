"""Say what happened after lists were published: read the log, join, count, compare, estimate."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import MANIFEST_NAME, ListsManifest, Manifest
from conf.errors import ConfigError, InputError, VersionError
from conf.settings.config import Config
from conf.workspace.json_files import is_there
from conf.workspace.versions import read_manifest
from serving.outcome.codes import Codes
from serving.outcome.events import ACT, TOO_SMALL, Events, Names, acts_of, read_logs
from serving.outcome.impressions import Impressions, Ledger, join
from serving.outcome.listed import Listed, Reader, no_rows
from serving.outcome.policy import OPTION, Limits, cases_of, judged_policy
from serving.outcome.published import (
    day_of,
    instant,
    known_ids,
    knows_until,
    policy_version,
    published,
    segments_of,
)
from serving.outcome.showings import Days
from serving.outcome.tables import comparison_rows, size_warnings, version_rows
from serving.outcome.timeline import DAY, Timeline
from serving.visitors.cells import EVENTS_OPTION

log = logging.getLogger(__name__)
_MUCH = 0.05
"""Share of impressions that may be left out before a note says so."""


def run(
    config: Config,
    *,
    files: Sequence[str],
    first: date | None = None,
    last: date | None = None,
    policy: str | None = None,
) -> dict[str, Any]:
    """Return what happened after lists were shown.

    Args:
        config: The run's configuration.
        files: The files of events.
        first: First day (UTC) that counts; None: that of the first event.
        last: Last day; None: that of the last event.
        policy: Version of lists whose value is estimated; None: none.

    Raises:
        ConfigError: When an option does not fit the workspace.
        InputError: When a file is wrong or of other days, or when a policy cannot be estimated;
            then `made` has the other figures.
        VersionError: When a version is damaged, or all of them are gone.
    """
    _require_dated(config)
    workspace = Path(config.run.output).resolve()
    current, history = published(workspace)
    wanted = None if policy is None else policy_version(workspace, policy)
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
    shown, ledger = join(
        events,
        timeline,
        days,
        lambda version, users: reader.read(manifests[version], users),
        readable=frozenset(manifests),
        catalogue=catalogue,
        within_hours=config.outcome.within_hours,
        has_shown=config.outcome.shown is not None,
    )
    _require_some(ledger, timeline, days, gone)
    most = max(acts_of(config).values())
    segments = segments_of(config.outcome.segment, workspace, dataset, user_ids)
    scenarios = reader.scenarios.texts
    rows = version_rows(shown, timeline, scenarios, reader.channels.texts, segments, most)
    compared = comparison_rows(shown, timeline, scenarios, most)
    result: dict[str, Any] = {
        "days": [day_of(days.start), day_of(days.end - 1)],
        "dataset": dataset.id,
        "versions": rows,
        "comparisons": compared,
        "ledger": ledger,
        "gone": [timeline.versions[number] for number in gone],
        "notes": _notes(config, events, shown, ledger, gone, timeline) + size_warnings(compared),
    }
    log.info("outcome: %d impressions of %d versions", len(shown.user), len({*shown.version}))
    if wanted is not None:
        result["policies"] = _judged(
            config, workspace, wanted, shown, _Sources(manifests, reader), result
        )
    return result


class _Sources(NamedTuple):
    """What lists are read with."""

    manifests: Mapping[int, ListsManifest]
    reader: Reader


def _require_dated(config: Config) -> None:
    if not config.input.is_dated:
        raise ConfigError(
            "outcome needs times, but the events of input.events have none (time_unit is 'order'); "
            "it cannot say what came after what"
        )


def _days(events: Events, first: date | None, last: date | None) -> Days:
    """Return the days that count: those of the options, or of the events."""
    times = events.time if len(events.time) else np.zeros(1, dtype=np.int64)
    start = int(times.min()) // DAY * DAY if first is None else instant(first)
    end = int(times.max()) // DAY * DAY if last is None else instant(last)
    if end < start:
        raise InputError(
            f"{EVENTS_OPTION} has events from {day_of(int(times.min()))} to "
            f"{day_of(int(times.max()))}, and none of the days asked for; change --from and --to"
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


def _require_some(ledger: Ledger, timeline: Timeline, days: Days, gone: Sequence[int]) -> None:
    """Refuse events of which none is of a list."""
    told = ledger.get("shown") or ledger.get("days") or {}
    if sum(told.get(name, 0) for name in ("counted", "counted_of_another_list")):
        return
    why = ", ".join(f"{name} {count:,}" for name, count in told.items() if name != "counted")
    first, last = day_of(days.start), day_of(days.end - 1)
    if told.get("version_gone"):
        names = ", ".join(timeline.versions[number] for number in gone)
        raise VersionError(
            f"the lists that were current from {first} to {last} are gone ({names}), because their "
            f"folders were removed; {why}; restore them, or give events of other days"
        )
    begin = day_of(timeline.stretches[0].start)
    raise InputError(
        f"no event of {EVENTS_OPTION} from {first} to {last} is of a "
        f"published list: {why or 'there are none'}; the first publication that is known was on "
        f"{begin}; give the events after it, with the ids of the log"
    )


def _notes(
    config: Config,
    events: Events,
    shown: Impressions,
    ledger: Ledger,
    gone: Sequence[int],
    timeline: Timeline,
) -> list[str]:
    """Return what a reader of the figures has to know."""
    found = []
    window = round(config.outcome.within_hours * 3_600_000_000)
    newest = int(events.time.max())
    young = int((shown.time + window > newest).sum())
    if young:
        found.append(
            f"{young:,} of {len(shown.time):,} impressions are younger than "
            f"{config.outcome.within_hours:g} hours at the end of the log, so acts on them may be "
            "missing"
        )
    if config.outcome.shown is None:
        found.append(
            "no event says what was shown (outcome.shown is null): a whole list counts as shown to "
            "its user on each day with an event of the user"
        )
    if not np.isin(events.kind, (ACT, TOO_SMALL)).any():
        found.append(
            f"no event has a type that counts as a success ({', '.join(acts_of(config))}); if that "
            "is a wrong name, set outcome.acted"
        )
    told = ledger.get("shown") or ledger.get("days") or {}
    unclear = told.get("in_several_scenarios", 0)
    if unclear > _MUCH * told.get("read", 0):
        found.append(
            f"{unclear:,} of {told['read']:,} impressions are of an item that is in several lists "
            "of its user. They are not counted, so the figures cover only the other items; log "
            "list_id to count them"
        )
    if gone and told.get("version_gone"):
        names = ", ".join(timeline.versions[number] for number in gone)
        found.append(f"lists that are gone are not counted: {names}")
    return found


def _judged(
    config: Config,
    workspace: Path,
    policy: ListsManifest,
    shown: Impressions,
    sources: _Sources,
    result: dict[str, Any],
) -> list[dict[str, Any]]:
    """Return the estimates of a policy, for each scenario that it and the log have."""
    manifests, reader = sources
    users = np.unique(shown.user)
    has = np.isfinite(shown.listed.propensity)
    if not has.any():
        raise _with(result, ConfigError(
            f"{OPTION}={policy.id!r} needs lists with a propensity, and those that were shown have "
            "none; set score.exploration, publish lists, and ask again with the events after that"
        ))  # fmt: skip
    wanted = reader.read(policy, users)
    parts, versions = [no_rows()], [np.zeros(0, dtype=np.int64)]
    for number in np.unique(shown.version[has]).tolist():
        parts.append(reader.read(manifests[number], users))
        versions.append(np.full(len(parts[-1].user), number))
    lists = Listed(*map(np.concatenate, zip(*parts, strict=True)))
    version = np.concatenate(versions)
    limits = Limits(config.outcome.min_support, config.outcome.min_effective)
    most, until = max(acts_of(config).values()), knows_until(workspace, policy)
    found: list[dict[str, Any]] = []
    for number, name in enumerate(reader.scenarios.texts):
        of_log = np.flatnonzero((shown.listed.scenario == number) & has)
        of_policy = np.flatnonzero(wanted.scenario == number)
        if not len(of_log) or not len(of_policy):
            continue
        here = np.flatnonzero(lists.scenario == number)
        cases = cases_of(
            shown.taken(of_log), wanted.taken(of_policy), lists.taken(here), version[here], until
        )
        try:
            one = judged_policy(policy.id, cases, limits, most)
        except InputError as error:
            raise _with({**result, "policies": found}, error) from None
        found.append({"scenario": name or None, **one})
    if not found:
        raise _with(result, InputError(
            f"{OPTION}={policy.id!r} has no list of a user and scenario that were shown"
        ))  # fmt: skip
    return found


def _with(result: dict[str, Any], error: ConfigError | InputError) -> ConfigError | InputError:
    """Return an error that brings the figures that were made before it."""
    error.made = {"stage": "outcome", "status": "refused", **result}
    return error
