"""How a dataset differs from the previous one."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from conf.contract import ITEM_ID, MANIFEST_NAME, TRAIN_EVENTS, Manifest
from conf.errors import VersionError
from conf.pages.charts import Distribution
from conf.workspace.json_files import is_there
from conf.workspace.pointers import read_pointer
from conf.workspace.versions import read_manifest
from etl.report.bins import hour_bins, weekday_bins
from etl.report.contents import Contents, read_profile
from etl.report.data import Drift, Shift

log = logging.getLogger(__name__)

PSI_MODERATE = 0.1
PSI_MAJOR = 0.25
_LEAST_SHARE = 1e-4
_DECILES = 10


def find_drift(profile: Contents, workspace: Path) -> Drift | None:
    """Compare with the previous dataset, if there is one.

    If it cannot be read, this is logged and None is returned.
    """
    try:
        manifest = previous_dataset(workspace, profile.manifest.id)
        if manifest is None:
            return None
        previous = read_profile(workspace / "datasets" / manifest.id, manifest)
    except VersionError as error:
        log.warning("etl: the data report has no comparison with the previous dataset: %s", error)
        return None
    return compare(previous, profile)


def previous_dataset(workspace: Path, dataset_id: str) -> Manifest | None:
    """Return the manifest of the version that was current before `dataset_id`, if there is one.

    Raises:
        VersionError: When that version is damaged or of another release.
    """
    pointer = read_pointer(workspace, "datasets") or {}
    versions = [*([pointer["id"]] if "id" in pointer else []), *pointer.get("previous", [])]
    if dataset_id in versions:
        versions = versions[versions.index(dataset_id) + 1 :]
    folder, name = workspace / "datasets", MANIFEST_NAME["datasets"]
    versions = [one for one in versions if is_there(folder / one / name)]  # not removed since
    return read_manifest(workspace, "datasets", versions[0], Manifest) if versions else None


def stability_index(previous: Sequence[float], present: Sequence[float]) -> float:
    """Return the population stability index of two distributions over the same bins.

    PSI = sum((q - p) ln(q / p)) with the shares p before and q now. By convention, a PSI below 0.1
    means stable, up to 0.25 a moderate shift, above 0.25 a major shift. A share of 0 counts as
    0.0001, so the logarithm is finite.

    Source: Siddiqi 2006, Credit Risk Scorecards, "system stability report" (formula and
    thresholds); the minimum share is ours.
    """
    pairs = [
        (max(p, _LEAST_SHARE), max(q, _LEAST_SHARE))
        for p, q in zip(_shares(previous), _shares(present), strict=True)
    ]
    return math.fsum((q - p) * math.log(q / p) for p, q in pairs)


def compare(previous: Contents, present: Contents) -> Drift:
    """Return how the current dataset differs from the previous one."""
    before, now = previous.manifest, present.manifest
    shifts = [_shift("Event types", *_aligned(previous.types, present.types), is_across=True)]
    if previous.hours and present.hours:
        for bins in (weekday_bins, hour_bins):
            was, has = bins(previous.hours), bins(present.hours)
            shifts.append(_shift(was.title, was.labels, was.series["events"], has.series["events"]))
    if len(previous.items):
        shifts.append(
            _shift(
                "Events by tenth of the previous items, most popular first",
                [*(f"tenth {n + 1}" for n in range(_DECILES)), "new items"],
                *events_by_decile(previous, present),
            )
        )
    names = ("users", "items", "events")
    return Drift(
        previous_id=before.id,
        counts={name: (before.counts[name], now.counts[name]) for name in names},
        quarantined_shares=(_quarantined_share(before), _quarantined_share(now)),
        shifts=shifts,
    )


def events_by_decile(previous: Contents, present: Contents) -> tuple[list[int], list[int]]:
    """Return the previous and current training events by tenth of the previous items.

    The most popular tenth comes first. The last of the eleven numbers counts the events of items
    that the previous dataset did not have.
    """
    num_items = len(previous.items)
    deciles = np.append(np.arange(num_items) * _DECILES // num_items, _DECILES)
    places = pc.index_in(present.items[ITEM_ID], value_set=previous.items[ITEM_ID].combine_chunks())
    found = pc.fill_null(places, num_items).to_numpy()
    counts = [
        np.bincount(decile, weights=profile.items[TRAIN_EVENTS].to_numpy(), minlength=_DECILES + 1)
        for profile, decile in ((previous, deciles[:-1]), (present, deciles[found]))
    ]
    return counts[0].astype(int).tolist(), counts[1].astype(int).tolist()


def _aligned(
    previous: Mapping[str, int], present: Mapping[str, int]
) -> tuple[list[str], list[int], list[int]]:
    names = list(dict.fromkeys([*previous, *present]))
    return names, [previous.get(n, 0) for n in names], [present.get(n, 0) for n in names]


def _shift(
    title: str,
    labels: Sequence[str],
    previous: Sequence[float],
    present: Sequence[float],
    is_across: bool = False,
) -> Shift:
    series = {"previous": _shares(previous), "now": _shares(present)}
    shares = Distribution(title, "", labels, series, is_across=is_across, is_share=True)
    return Shift(shares, stability_index(previous, present))


def _shares(counts: Sequence[float]) -> list[float]:
    total = math.fsum(counts)
    return [count / total if total else 0.0 for count in counts]


def _quarantined_share(manifest: Manifest) -> float:
    account = manifest.ledger["events"]
    return sum(account.quarantined.values()) / max(account.rows_read, 1)
