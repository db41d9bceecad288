"""Where the manual of this installation is."""

import sysconfig
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]
_PAGE = Path("docs", "index.md")
_INSTALLED = Path("share", "doc", "headrace", "docs", "index.md")


def manual_address() -> str:
    """Return the path of the manual's first page: in the checkout, else where pip put it."""
    if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / _PAGE).is_file():
        return str(_CHECKOUT / _PAGE)
    # pip puts data files below the prefix, with --user below ~/.local, with --target next to us.
    places = [Path(sysconfig.get_path("data")), Path.home() / ".local", _CHECKOUT]
    found = [place / _INSTALLED for place in places]
    return next((str(page) for page in found if page.is_file()), f"{_PAGE} of the source code")
