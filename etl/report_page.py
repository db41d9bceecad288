"""The data report as one HTML file: no script, no network, every text escaped."""

from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from etl.report_blocks import Section, bar_section
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
from etl.report_text import number, share

_TEMPLATE = "report_page.html"
_STYLE = "report_page.css"


def render(data: ReportData) -> str:
    """Return the page; the same data gives the same text."""
    environment = Environment(
        loader=FunctionLoader(_packaged), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template(_TEMPLATE).render(
        data=data, style=Markup(_packaged(_STYLE)), tiles=_tiles(data), sections=_sections(data)
    )


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


def _tiles(data: ReportData) -> list[tuple[str, str, str]]:
    """Return the figures that come first: name, value and share."""
    events = add_up(data.flows["events"].values())
    lost = {"dropped": sum(events.dropped.values()),
            "quarantined": sum(events.quarantined.values())}  # fmt: skip
    parts = {"kept": events.rows_kept, **lost}
    return [
        ("events read", number(events.rows_read), ""),
        *((name, number(rows), share(rows / max(events.rows_read, 1)))
          for name, rows in parts.items()),
        *((name, number(data.counts[name]), "") for name in ("users", "items")),
    ]  # fmt: skip


def _packaged(name: str) -> str:
    """Return the text of a file that lies beside this module."""
    return files("etl").joinpath(name).read_text(encoding="utf-8")
