"""The data report as one HTML file; see `conf.pages.page`."""

from collections.abc import Sequence

from markupsafe import Markup

from conf.contract import CUT_PARTS
from conf.pages.blocks import Chart, Section, Table, bar_chart, bar_section
from conf.pages.charts import share_curve
from conf.pages.page import Page, Tile
from conf.pages.text import change, number, share, size
from etl.report.data import Anonymity, Drift, FeatureFigures, LongTail, MissingField, ReportData
from etl.report.drift import PSI_MAJOR, PSI_MODERATE
from etl.report.ledger import add_up, ledger_section, matches_section, quarantine_section


def render(data: ReportData) -> str:
    """Return the page; the same data gives the same text."""
    return Page(
        kind="Data report",
        title=data.dataset_id,
        note=f"Newest event: {data.as_of}. Logical date: {data.logical_date}.",
        tiles=_tiles(data),
        sections=_sections(data),
    ).render()


def _sections(data: ReportData) -> Sequence[Section]:
    read_and_kept = (
        "As read: all rows of the input, including duplicates and invalid rows. Kept: the rows "
        "that are in the dataset."
    )
    sections = [
        ledger_section(data),
        matches_section(data),
        drift_section(data.drift),
        quarantine_section(data),
        bar_section("cleaning", "Before and after cleaning", data.cleaning, read_and_kept),
        missing_section(data.missing),
        long_tail_section(data.long_tail),
        bar_section("activity", "Activity over time", data.activity),
        bar_section("histories", "User histories", data.histories),
        features_section(data.features),
        anonymity_section(data.anonymity),
        splits_section(data),
    ]
    return [section for section in sections if section is not None]


def _tiles(data: ReportData) -> list[Tile]:
    """Return the figures at the top of the page."""
    events = add_up(data.flows["events"].values())
    lost = {
        "dropped": sum(events.dropped.values()),
        "quarantined": sum(events.quarantined.values()),
    }
    parts = {"kept": events.rows_kept, **lost}
    return [
        Tile("events read", number(events.rows_read)),
        *(
            Tile(name, number(rows), share(rows / max(events.rows_read, 1)))
            for name, rows in parts.items()
        ),
        *(Tile(name, number(data.counts[name])) for name in ("users", "items")),
    ]


def missing_section(fields: Sequence[MissingField]) -> Section | None:
    """Return how often the fields of the tables and logs are missing."""
    if not fields:
        return None
    rows = [
        [
            field.table,
            field.field,
            number(field.delivered_missing),
            _part(field.delivered_missing, field.delivered_rows),
            number(field.published_missing),
            _part(field.published_missing, field.published_rows),
        ]
        for field in fields
    ]
    header = ["input", "field", "missing in input", "share", "missing in dataset", "share"]
    note = (
        "Input: the kept rows of a table, or all rows read from a log. Dataset: all its users or "
        "items, including those that the table lacks, or the kept events of a log. A value that "
        "cannot be parsed as its type counts as missing; so does an event type that is not in use."
    )
    table = Table("Missing values by field", header, rows, 2)
    return Section("missing", "Missing values", note, tables=[table])


def long_tail_section(tail: LongTail | None) -> Section | None:
    """Return how the training events are spread over the items."""
    if tail is None:
        return None
    title = "Share of events by share of items"
    points = [[share(x), share(y)] for x, y in tail.points]
    facts = [
        ["items", number(tail.num_items)],
        ["training events", number(tail.num_events)],
        ["Gini coefficient", f"{tail.gini:.3f}"],
        *([f"events of the top {at:.0%} of items", share(y)] for at, y in tail.heads.items()),
    ]
    note = (
        "The items of the catalogue, sorted by their number of training events, most popular "
        "first. The dashed line shows a log in which all items are equally popular; its Gini "
        "coefficient is 0."
    )
    return Section(
        "long-tail",
        "Popularity of items (long tail)",
        note,
        charts=[
            Chart(title, share_curve(title, tail.points), Table(title, ["items", "events"], points))
        ],
        tables=[Table("Popularity of items in figures", ["figure", "value"], facts)],
    )


def splits_section(data: ReportData) -> Section:
    """Return the sizes of the dataset's parts."""
    parts = [
        [part, number(files), number(rows), size(num_bytes)]
        for part, (files, rows, num_bytes) in data.splits.items()
    ]
    counts = [[name.replace("_", " "), number(count)] for name, count in data.counts.items()]
    if data.counts.get("events") and "tied_events" in data.counts:
        tied = share(data.counts["tied_events"] / data.counts["events"])
        counts.append(["events at the time of another event of their user", tied])
    if data.counts.get("test") and "test_seen" in data.counts:
        seen = share(data.counts["test_seen"] / data.counts["test"])
        counts.append(["test targets that their user had before", seen])
    cuts = [[part, data.cuts[key]] for key, part in CUT_PARTS.items() if key in data.cuts]
    return Section(
        "parts",
        "Parts of the dataset",
        tables=[
            Table("Files by part", ["part", "files", "rows", "size"], parts),
            Table("Counts", ["quantity", "number"], counts),
            *([Table("First instant of each part", ["part", "UTC"], cuts, 2)] if cuts else []),
        ],
    )


def features_section(features: Sequence[FeatureFigures]) -> Section | None:
    """Return the features with the statistics on which the selection is based."""
    if not features:
        return None
    names = list(dict.fromkeys(name for feature in features for name in feature.figures))
    rows = [
        [
            feature.name,
            feature.kind,
            "selected" if feature.is_selected else f"left out: {feature.reason}",
            *(f"{feature.figures[name]:,.4g}" if name in feature.figures else "" for name in names),
        ]
        for feature in features
    ]
    header = ["feature", "encoding", "selection", *(name.replace("_", " ") for name in names)]
    note = (
        "Statistics of the training part. Present share: the share of rows with a value. Distinct: "
        "the number of different values in a sample. Max correlation: the strongest correlation "
        "with a feature selected before. Mutual information: that with the first label, in nats."
    )
    return Section("features", "Features", note, tables=[Table("Features", header, rows, 3)])


def anonymity_section(found: Anonymity | None) -> Section | None:
    """Return the k that was required and the k that was reached."""
    if found is None:
        return None
    rows = [
        ["quasi-identifiers", ", ".join(found.quasi_identifiers)],
        ["k required", number(found.k_asked)],
        ["k reached", "-" if found.k_reached is None else number(found.k_reached)],
        *([name.replace("_", " "), number(count)] for name, count in found.figures.items()),
    ]
    table = Table("k-anonymity", ["figure", "value"], rows)
    note = (
        "At least k users share each combination of quasi-identifiers. Users whose combination "
        "was rarer got coarser values (generalised) or none (suppressed)."
    )
    return Section("anonymity", "Anonymity of the users", note, tables=[table])


def drift_section(drift: Drift | None) -> Section | None:
    """Return how the dataset differs from the previous one."""
    if drift is None:
        return None
    was, now = drift.quarantined_shares
    counts = [
        *(
            [name, number(old), number(new), change(old, new)]
            for name, (old, new) in drift.counts.items()
        ),
        ["share of events in quarantine", share(was), share(now), change(was, now)],
    ]
    shifts = [
        [shift.shares.title, _reading(shift.psi), f"{shift.psi:.4f}"] for shift in drift.shifts
    ]
    note = (
        f"Compared with {drift.previous_id}. The population stability index (PSI) measures how "
        f"much a distribution has shifted: below {PSI_MODERATE} it is stable, above {PSI_MAJOR} "
        "the shift is major."
    )
    return Section(
        "drift",
        "Changes since the previous dataset (drift)",
        note,
        tables=[
            Table("Counts", ["quantity", "previous", "now", "change"], counts),
            Table("Population stability", ["distribution", "assessment", "PSI"], shifts, 2),
        ],
        charts=[bar_chart(shift.shares) for shift in drift.shifts],
    )


def _reading(psi: float) -> str:
    if psi < PSI_MODERATE:
        return "stable"
    if psi <= PSI_MAJOR:
        return "moderate shift"
    return Markup('<strong class="alarm">major shift</strong>')


def _part(rows: int, total: int) -> str:
    return share(rows / total) if total else ""
