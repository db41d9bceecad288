"""Build the manual as a site: `python -m docs.build_site FOLDER`, or `make docs`.

The pages link to each other and to files of the checkout as GitHub shows them. Here the pages of
`docs/` and of the checkout's root are put into one folder, their links changed to match, and given
to Sphinx. A broken link, or any other warning, is an error.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import build_main

CHECKOUT = Path(__file__).parents[1]
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")


def assemble(folder: Path) -> None:
    """Put all pages, the files that they link to and Sphinx's configuration into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKOUT / "docs" / "conf.py", folder)
    pages = [*(CHECKOUT / "docs").glob("*.md"), *(CHECKOUT / name for name in ROOT_PAGES)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        text = _LINK.sub(lambda link, page=page: _moved(link, page, folder), text)  # type: ignore[misc]
        (folder / page.name).write_text(text, encoding="utf-8")


def _moved(link: re.Match[str], page: Path, folder: Path) -> str:
    """Return a link as it is in the folder; a linked file that is no page is copied there."""
    target = (page.parent / link[1]).resolve()
    if target.suffix == ".md" or not target.is_file():
        name = target.name if target.suffix == ".md" else link[1]
        return f"]({name}{link[2] or ''})"
    if not target.is_relative_to(CHECKOUT):
        return link[0]  # Sphinx says that it is broken
    inside = target.relative_to(CHECKOUT)
    (folder / inside).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(target, folder / inside)
    return f"]({inside.as_posix()})"


def build(site: Path) -> int:
    """Build the site; return Sphinx's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pages"
        assemble(source)
        options = ["--quiet", "--fail-on-warning", "--keep-going", "--builder", "html"]
        return build_main([*options, "-d", f"{folder}/trees", str(source), str(site)])


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
