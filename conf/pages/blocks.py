"""The blocks of a page's section: tables, charts with their tables, flows and samples."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from conf.pages.charts import Distribution, bars
from conf.pages.text import number, share


@dataclass(frozen=True)
class Table:
    """A table; all cells are texts."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_names: int = 1
    """Number of columns with words; the columns after them hold numbers."""


@dataclass(frozen=True)
class Chart:
    """A chart, and the table of its figures."""

    title: str
    drawing: Markup
    table: Table
    legend: Sequence[str] = ()
    """Names of the series, if there are several."""
    note: str = ""


@dataclass(frozen=True)
class Flow:
    """The ledger of one input, drawn for wide and for narrow screens."""

    title: str
    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Sample:
    """The part of a page about one user; `conf.pages.samples` finds and removes it."""

    user_id: str
    tables: Sequence[Table]


@dataclass(frozen=True)
class Section:
    """A heading with everything under it."""

    anchor: str
    title: str
    note: str = ""
    flows: Sequence[Flow] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    folded: Sequence[Table] = ()
    """Long tables, collapsed when the page opens."""
    samples: Sequence[Sample] = ()


def bar_chart(distribution: Distribution) -> Chart:
    """Return a chart of bars for a distribution, with its table."""
    values = list(zip(*distribution.series.values(), strict=True))
    rows = [
        [label, *(share(n) if distribution.is_share else number(int(n)) for n in numbers)]
        for label, numbers in zip(distribution.labels, values, strict=True)
    ]
    unit = f" ({distribution.unit})" if distribution.unit else ""
    names = tuple(distribution.series)
    return Chart(
        title=distribution.title,
        drawing=bars(distribution),
        table=Table(f"{distribution.title}{unit}", ["", *names], rows),
        legend=names if len(names) > 1 else (),
        note=distribution.note,
    )


def bar_section(
    anchor: str, title: str, distributions: Sequence[Distribution], note: str = ""
) -> Section | None:
    """Return a section of bar charts, or None if there is no distribution."""
    charts = [bar_chart(distribution) for distribution in distributions]
    return Section(anchor, title, note, charts=charts) if charts else None
