"""The data report as one HTML file: see `conf.page`."""

from collections.abc import Sequence

from conf.page import Page, Tile
from conf.page_blocks import Section, bar_section
from conf.page_text import number, share
from etl.report_data import ReportData
from etl.report_ledger import add_up, ledger_section, quarantine_section
from etl.report_sections import (
    anonymity_section,
    drift_section,
    features_section,
    long_tail_section,
    missing_section,
    splits_section,
)


def render(data: ReportData) -> str:
    """Return the page; the same data gives the same text."""
    return Page(
        kind="Data report",
        title=data.dataset_id,
        note=f"Events up to {data.as_of}, logical date {data.logical_date}",
        tiles=_tiles(data),
        sections=_sections(data),
    ).render()


def _sections(data: ReportData) -> Sequence[Section]:
    read_and_kept = "As read: all rows, repeated and bad ones too. Kept: the rows of the dataset."
    sections = [
        ledger_section(data),
        drift_section(data.drift),
        quarantine_section(data),
        bar_section("cleaning", "Before and after cleaning", data.cleaning, read_and_kept),
        missing_section(data.missing),
        long_tail_section(data.long_tail),
        bar_section("activity", "Activity over time", data.activity),
        bar_section("histories", "Histories", data.histories),
        features_section(data.features),
        anonymity_section(data.anonymity),
        splits_section(data),
    ]
    return [section for section in sections if section is not None]


def _tiles(data: ReportData) -> list[Tile]:
    """Return the figures that come first."""
    events = add_up(data.flows["events"].values())
    lost = {"dropped": sum(events.dropped.values()),
            "quarantined": sum(events.quarantined.values())}  # fmt: skip
    parts = {"kept": events.rows_kept, **lost}
    return [
        Tile("events read", number(events.rows_read)),
        *(Tile(name, number(rows), share(rows / max(events.rows_read, 1)))
          for name, rows in parts.items()),
        *(Tile(name, number(data.counts[name])) for name in ("users", "items")),
    ]  # fmt: skip
