"""How Sphinx shows the manual; `docs/build_site.py` builds it."""

from importlib.metadata import version as version_of

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

release = version_of("headrace")

project = "Headrace"
author = "the Headrace team"
version = release
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"Headrace {release}"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
myst_heading_anchors = 4
highlight_language = "text"
lexers["csv"] = TextLexer()
pygments_style = "friendly"
pygments_dark_style = "monokai"

PAGES = {
    "Start": ["README", "your-data", "commands", "troubleshooting"],
    "From log to dataset": ["cleaning", "features", "files"],
    "Models": ["choosing", "training", "impressions", "two-stage", "measuring", "performance"],
    "In production": [
        "lists",
        "rules",
        "diversity",
        "delivery",
        "outcome",
        "schedules",
        "clusters",
        "privacy",
    ],
    "Reference": ["settings", "uses", "architecture", "CONTRIBUTING", "CHANGELOG"],
}
"""The contents, kept here so that `index.md` reads well as it is."""


def _with_contents(_app: object, page: str, source: list[str]) -> None:
    if page == "index":
        for caption, pages in PAGES.items():
            listed = "\n".join(pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def setup(app: object) -> None:
    """Add the contents to the first page."""
    app.connect("source-read", _with_contents)  # type: ignore[attr-defined]
