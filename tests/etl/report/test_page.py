"""The page itself: whole, self-contained, and with nothing but text from outside."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from conf.ledger import Account, InputLedger
from conf.pages.text import change, compact, share, size
from conf.runs.inputs.input_files import InputFile
from etl.report.flow import NARROW, WIDE, flow
from etl.report.ledger import by_log
from etl.report.page import render
from tests.etl.reporting import data_for, full_data

HOSTILE = "<script>alert('1')</script>\"&<b>"
VOID = {"meta", "rect", "line", "polygon", "polyline"}


class Page(HTMLParser):
    """Collect a page's tags, attributes and texts, and check that tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_text_from_outside_stays_text_wherever_it_stands() -> None:
    html = render(full_data(HOSTILE))
    page = Page(html)
    assert page.open == []
    assert not {"script", "b", "img", "iframe", "link"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    anchors = {"title", "h1", "caption", "th", "td", "figcaption", "span", "text", "h2", "summary"}
    assert anchors <= set(page.tags)
    assert sum(HOSTILE in text for text in page.texts) > 40
    assert "<script" not in html


def test_page_takes_nothing_from_elsewhere() -> None:
    html = render(full_data("x"))
    assert re.findall(r"https?:|//|@import|url\(", html) == []
    wanted = {name: value for name, value in Page(html).attributes if name in ("src", "href")}
    assert all(value is not None and value.startswith("#") for value in wanted.values())
    assert "default-src 'none'" in html


def test_every_chart_has_a_title_and_its_figures_as_a_table() -> None:
    page = Page(render(full_data("x")))
    drawings = page.tags["svg"]
    assert drawings == 10
    assert page.attributes.count(("role", "img")) == drawings
    flows = 2 * 2  # two inputs, for wide and for narrow screens, above one table
    assert page.tags["details"] >= drawings - flows
    assert page.tags["table"] == page.tags["caption"]
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in page.attributes if name == "href"}
    assert links <= {f"#{name}" for name in ids}


def test_sections_without_data_are_left_out() -> None:
    html = render(data_for())
    assert re.findall(r'<section id="([\w-]+)"', html) == ["ledger", "parts"]
    assert re.findall(r'<section id="([\w-]+)"', render(full_data("x"))) == [
        "ledger", "drift", "quarantine", "cleaning", "missing", "long-tail", "activity",
        "histories", "features", "anonymity", "parts",
    ]  # fmt: skip


def test_numbers_are_shown_with_separators_and_shares() -> None:
    html = render(data_for())
    for text in ("12,345", "9,000", "72.9%", "3,000", "24.3%", "345", "2.8%", "1,234", "2.0 KiB"):
        assert f">{text}<" in html or f"<dd>{text}" in html or f"· {text}<" in html, text


def test_warnings_and_the_cuts_of_a_temporal_split_are_shown() -> None:
    cuts = {"valid_from": "2026-03-08T00:00:00Z", "test_from": "2026-03-09T00:00:00Z"}
    texts = Page(render(data_for(warnings=[("events", "look at a.csv")], cuts=cuts))).texts
    shown = " ".join(text.strip() for text in texts if text.strip())
    assert "Warnings input warning events look at a.csv" in shown
    assert "validation 2026-03-08T00:00:00Z test 2026-03-09T00:00:00Z" in shown
    plain = render(data_for())
    assert "Warnings" not in plain and "First instant" not in plain


def test_the_same_data_gives_the_same_page() -> None:
    assert render(full_data("x")) == render(full_data("x"))


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_flow_draws_a_link_from_each_log_to_each_outcome_of_its_rows(layout: object) -> None:
    views = Account(rows_read=90, rows_kept=60, dropped={"bot": 30})
    buys = Account(rows_read=10, rows_kept=9, quarantined={"user_missing": 1})
    total = Account(rows_read=100, rows_kept=69, dropped={"bot": 30},
                    quarantined={"user_missing": 1})  # fmt: skip
    svg = flow("Rows", total, {"views": views, "buys": buys}, layout)  # type: ignore[arg-type]
    assert re.findall(r"<title>([\w: ]+)</title></path>", svg) == [
        "views: kept 60", "views: dropped: bot 30", "buys: kept 9",
        "buys: quarantined: user_missing 1",
    ]  # fmt: skip
    assert "69 · 69.0%" in svg
    heights = re.findall(
        r'class="node \w+" x="[\d.]+" y="[\d.]+" width="9.0" height="([\d.]+)"', svg
    )
    assert heights == ["158.7", "69.0", "2.3"]  # of 230 for all rows
    height = float(re.findall(r'viewBox="0 0 \d+ (\d+)"', svg)[0])
    assert all(float(y) < height for y in re.findall(r' y="([\d.]+)"', svg))


def test_accounts_are_told_by_log_where_their_files_are() -> None:
    one, two = (Account(rows_read=n, rows_kept=n) for n in (1, 2))
    ledger = InputLedger(rows_read=3, rows_kept=3, files={"a": one, "b": two})
    files = {name: InputFile(Path(name), name, 1, 0.0, "") for name in ("a", "b")}
    inputs = {"events.views": [files["a"]], "events.buys": [files["b"]], "items": [files["a"]]}
    assert by_log("events", ledger, inputs) == {"views": one, "buys": two}
    shared = {**inputs, "events.buys": [files["a"], files["b"]]}
    assert by_log("events", ledger, shared) == {"events": Account(rows_read=3, rows_kept=3)}


def test_figures_read_as_people_write_them() -> None:
    assert [share(n) for n in (0, 0.0001, 0.5, 0.99999, 1)] == [
        "0.0%", "<0.1%", "50.0%", ">99.9%", "100.0%",
    ]  # fmt: skip
    assert [compact(n) for n in (0, 0.5, 900, 1500, 2_000_000, 5e9)] == [
        "0", "0.5", "900", "1.5k", "2M", "5G",
    ]  # fmt: skip
    assert [size(n) for n in (5, 2048, 3 << 20, 5 << 30)] == [
        "5 B",
        "2.0 KiB",
        "3.0 MiB",
        "5.0 GiB",
    ]
    assert [change(*pair) for pair in ((0, 0), (0, 3), (4, 5), (4, 1))] == [
        "0.0%", "new", "+25.0%", "-75.0%",
    ]  # fmt: skip
