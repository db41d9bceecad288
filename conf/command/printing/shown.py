"""Print what `headrace show` has found."""

import html
from typing import Any

from rich.console import Console
from rich.table import Table

from conf.command.printing.cells import printable, text_of
from conf.contract import CHANNELS, PROPENSITY, RULES

Result = dict[str, Any]
_SEES = {"canary": "the canary of", "current": "not in the canary of"}


def print_user(console: Console, result: Result) -> None:
    """Print a user's history and list."""
    history = Table(title=f"history of {result['user_id']}, newest first", title_justify="left")
    for name in ("when", "event", "item", "title"):
        history.add_column(name)
    for event in result["history"]:
        history.add_row(*(text_of(event[key]) for key in ("when", "event", "item_id", "title")))
    console.print(history)
    where = f", {result['scenario']}" if "scenario" in result else ""
    if "sees" in result:
        where += f", {_SEES[result['sees']]} {result['share']:.4g} of the users"
    table = Table(title=f"recommended ({result['lists_id']}{where})", title_justify="left")
    named = [name for name in (CHANNELS, RULES) if any(row.get(name) for row in result["list"])]
    named += [PROPENSITY] if any(row.get(PROPENSITY) for row in result["list"]) else []
    for name in ("position", "item", "title", "score", "source", "because of", *named):
        table.add_column(name)
    for row in result["list"]:
        table.add_row(
            str(row["position"]),
            row["item_id"],
            text_of(row["title"]),
            f"{row['score']:.3f}",
            row["source"],
            "\n".join([*_sentence(row), *row["because"]]),
            *(_told(row.get(name)) for name in named),
        )
    console.print(table)
    if not result.get("in_scenario", True):
        text = f"no list: the user is not in the scenario, which is for {result['users_where']}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for name in ("why_fallback", "why_short", "why_absent"):
        why = result.get(name)
        if why is not None:
            text = f"{name}: {why['reason']}: {why['meaning']}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _told(value: list[str] | float | None) -> str:
    """Return names, or a probability, as text."""
    if value is None:
        return ""
    return ", ".join(value) if isinstance(value, list) else f"{value:.4g}"


def print_item(console: Console, result: Result) -> None:
    """Print an item's list of similar items."""
    title = f"like {result['item_id']}, {text_of(result['title'])} ({result['lists_id']})"
    table = Table(title=title, title_justify="left")
    for name in ("position", "item", "title", "score"):
        table.add_column(name)
    for row in result["similar"]:
        cells = (str(row["position"]), row["item_id"], text_of(row["title"]), f"{row['score']:.3f}")
        table.add_row(*cells)
    console.print(table)
    if not result["similar"]:
        console.print("no list: the model does not know the item, or nothing that is like it")


def print_audience(console: Console, result: Result) -> None:
    """Print the first users of an audience."""
    title = f"audience {result['audience']} ({result['lists_id']})"
    table = Table(title=title, title_justify="left")
    for name in ("position", "user", "score"):
        table.add_column(name)
    for row in result["shown"]:
        table.add_row(str(row["position"]), row["user_id"], f"{row['score']:.4g}")
    console.print(table)
    console.print(f"{result['users']:,} users for {result['items']:,} item(s)", highlight=False)


def _sentence(row: Result) -> list[str]:
    """Return the sentence of the first language as one line, none if there is none."""
    said = [text for text in (row.get("texts") or {}).values() if text is not None]
    return [printable(html.unescape(text)) for text in said[:1]]
