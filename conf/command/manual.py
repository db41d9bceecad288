"""The place of the manual of this installation."""

import sysconfig
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2] / "docs"
_INSTALLED = Path("share", "doc", "headrace")


def manual_address() -> str:
    """Return the path of the manual's first page: in the checkout, else where pip put it."""
    folders = [_CHECKOUT, Path(sysconfig.get_path("data")) / _INSTALLED]
    for folder in folders:
        if (folder / "index.md").is_file():
            return str(folder / "index.md")
    return "docs/index.md in the source distribution of headrace"
