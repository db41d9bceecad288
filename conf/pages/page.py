"""A page for people as one HTML file: no script, no network access, all texts escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from conf.masking.texts import masked
from conf.pages.blocks import Section

_TEMPLATE = "page.html"
_STYLE = "page.css"


@dataclass(frozen=True)
class Tile:
    """A figure at the top of the page."""

    name: str
    value: str
    beside: str = ""
    """Text after the value, in smaller letters."""


@dataclass(frozen=True)
class Page:
    """The contents of a page."""

    kind: str
    """Kind of the page, such as `Data report`."""
    title: str
    note: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]

    def render(self) -> str:
        """Return the page as HTML; the same page gives the same text."""
        environment = Environment(
            loader=FunctionLoader(_packaged),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        page = environment.get_template(_TEMPLATE).render(
            page=self, style=Markup(_packaged(_STYLE))
        )
        return masked(page)


def _packaged(name: str) -> str:
    """Return the text of a file in the folder of this module."""
    return files("conf.pages").joinpath(name).read_text(encoding="utf-8")
