"""Write the data report, an HTML file next to the parts of a dataset, before the commit."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import DataFrame

from conf.contract import ITEM_ID, REPORT_NAME, USER_ID, Feature, Manifest, PrivacyReport
from conf.pages.charts import Distribution
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from etl.cleaning.inputs import Staged
from etl.report.bins import (
    day_bins,
    hour_bins,
    length_bins,
    per_id_bins,
    type_bins,
    value_bins,
    weekday_bins,
)
from etl.report.contents import Contents, describe_long_tail, read_profile
from etl.report.counts import (
    Counts,
    collect_counts,
    events_by_value,
    events_per_id,
    missing_by_log,
)
from etl.report.data import Anonymity, FeatureFigures, ReportData
from etl.report.drift import find_drift
from etl.report.ledger import by_log
from etl.report.missing import (
    LogFields,
    columns_of_logs,
    declared_fields,
    fields_of_logs,
    missing_fields,
    missing_in_logs,
)
from etl.report.page import render
from etl.report.samples import sample_quarantine

log = logging.getLogger(__name__)
_IDS, _VALUES, _LOGS = "ids", "values", "logs"


def write_report(
    folder: Path,
    manifest: Manifest,
    *,
    config: Config,
    staged: Staged,
    inputs: Mapping[str, Sequence[InputFile]],
    workspace: Path,
) -> None:
    """Write the report of a dataset that is in `folder` and not committed yet.

    Args:
        folder: Folder with the finished parts.
        manifest: The future manifest of the dataset.
        config: The run's configuration.
        staged: The stored inputs with their verdicts.
        inputs: Files of each input.
        workspace: Workspace that may contain a previous dataset.
    """
    started = time.monotonic()
    log.info("etl: writing the data report")
    fields, logs = declared_fields(config, staged), fields_of_logs(config, staged, inputs)
    counts = _count(staged["events"].judged, logs)
    profile = read_profile(folder, manifest)
    data = ReportData(
        dataset_id=manifest.id,
        logical_date=manifest.logical_date,
        as_of=manifest.as_of,
        counts=manifest.counts,
        flows={name: by_log(name, ledger, inputs) for name, ledger in manifest.ledger.items()},
        files={name: ledger.files for name, ledger in manifest.ledger.items()},
        matches={n: a.match for n, a in manifest.ledger.items() if a.match is not None},
        quarantine=sample_quarantine(folder, manifest),
        cleaning=_cleaning(counts, manifest.event_types),
        missing=[
            *missing_fields(fields, staged, folder, manifest),
            *missing_in_logs(logs, counts.get(_LOGS, {})),
        ],
        long_tail=describe_long_tail(profile),
        activity=_activity(profile),
        histories=[length_bins(profile.lengths)],
        splits=_sizes(manifest),
        warnings=[(name, text) for name, a in manifest.ledger.items() for text in a.warnings],
        cuts=manifest.cuts,
        features=feature_figures(manifest.features),
        anonymity=_anonymity(manifest.privacy),
        drift=find_drift(profile, workspace),
    )
    (folder / REPORT_NAME).write_text(render(data), encoding="utf-8")
    log.info("etl: wrote the data report (%.1f s)", time.monotonic() - started)


def _sizes(manifest: Manifest) -> dict[str, tuple[int, int, int]]:
    """Return the number of files, rows and bytes of each part."""
    return {
        part: (len(files), sum(f.rows for f in files), sum(f.bytes for f in files))
        for part, files in manifest.files.items()
    }


def _count(events: DataFrame, logs: Mapping[str, LogFields]) -> dict[str, Counts]:
    """Return all counts of the stored events."""
    frames = {
        _IDS: events_per_id(events, [USER_ID, ITEM_ID]),
        _VALUES: events_by_value(events),
    }
    if logs:
        files = [log.files for log in logs.values()]
        frames[_LOGS] = missing_by_log(events, files, columns_of_logs(logs))
    return collect_counts(frames)


def _cleaning(counts: Mapping[str, Counts], event_types: Sequence[str]) -> list[Distribution]:
    values = value_bins(counts[_VALUES])
    return [
        type_bins(counts[_VALUES], event_types),
        *(per_id_bins(counts[_IDS], n, ids) for n, ids in enumerate(("users", "items"))),
        *([] if values is None else [values]),
    ]


def _anonymity(report: PrivacyReport | None) -> Anonymity | None:
    """Return the result of k-anonymity, None if it is not configured."""
    if report is None or report.k_asked is None:
        return None
    return Anonymity(
        quasi_identifiers=report.quasi_identifiers,
        k_asked=report.k_asked,
        k_reached=report.k_reached,
        figures={
            "users_generalised": report.rows_generalised or 0,
            "users_suppressed": report.rows_suppressed or 0,
        },
    )


def _activity(profile: Contents) -> list[Distribution]:
    if not profile.hours:
        return []
    return [bins(profile.hours) for bins in (day_bins, weekday_bins, hour_bins)]


def feature_figures(features: Mapping[str, Sequence[Feature]]) -> list[FeatureFigures]:
    """Return all features of a manifest, part by part, for the report."""
    return [
        FeatureFigures(
            name=feature.name,
            kind=f"{feature.encoding} ({part})",
            is_selected=feature.left_out is None,
            reason=feature.left_out or "",
            figures=feature.figures,
        )
        for part, members in features.items()
        for feature in members
    ]
