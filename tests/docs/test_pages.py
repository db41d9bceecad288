"""What the manual says about keys, files and exit codes is so, and it builds without a warning."""

import re
from pathlib import Path

import pytest

from conf import errors
from conf.settings.config import Config
from conf.settings.key_tree import known_keys, parts_at
from docs import build_site
from docs.reference import settings_page
from tests.docs.samples import PAGES, shop_yaml
from tests.packaging.checkout import BIN, CHECKOUT, call, copy_of_checkout

TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
README_LINES = 200


def test_generated_pages_are_up_to_date() -> None:
    done = call(BIN / "python", "-m", "docs.reference", "--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_found(tmp_path: Path) -> None:
    page = CHECKOUT / "docs" / "settings.md"
    assert settings_page() == page.read_text(encoding="utf-8")
    assert settings_page() != page.read_text(encoding="utf-8").replace("| `seed` |", "| `sead` |")


def test_every_setting_has_a_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", TEXTS["settings.md"], flags=re.MULTILINE)
    assert len(rows) > 200
    cells = {name: re.split(r"(?<!\\)\|", rest) for name, rest in rows}
    assert [name for name, row in cells.items() if not row[2].strip()] == []


def test_the_readme_is_short_and_has_the_shop_of_the_manual() -> None:
    assert TEXTS["README.md"].count("\n") <= README_LINES
    stripped = [re.sub(r" *#.*", "", text) for text in (shop_yaml(), TEXTS["your-data.md"])]
    assert stripped[0] in stripped[1]


@pytest.mark.parametrize("name", TEXTS)
def test_keys_that_a_page_names_exist(name: str) -> None:
    sections = "|".join(Config.model_fields)
    named = set(re.findall(rf"`((?:{sections})(?:\.[a-zA-Z_*]+)+)[`=:]", TEXTS[name]))
    assert [key for key in sorted(named) if not is_key(key) and not is_module(key)] == []


def is_key(key: str) -> bool:
    """Whether a key exists; `*` stands for any key, or for a name of the user's own."""
    paths: list[list[str]] = [[]]
    for part in key.split("."):
        paths = [
            [*path, name]
            for path in paths
            for name in ((*known_keys(Config, path), "NAME") if part == "*" else (part,))
        ]
    return any(parts_at(Config, path) for path in paths)


def is_module(key: str) -> bool:
    path = CHECKOUT / key.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file() or key.endswith((".py", ".yaml"))


def test_exit_codes_of_the_manual_are_those_of_the_errors() -> None:
    table = TEXTS["troubleshooting.md"]
    listed = {int(code) for code in re.findall(r"^\| `?(\d+)`? \|", table, flags=re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {kind.exit_code for kind in kinds if issubclass(kind, errors.HeadraceError)}
    assert listed == {0, *raised, 130, 143}


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_a_page_names_exist(name: str) -> None:
    pattern = r"`((?:conf|etl|trainer|serving|tests|docs)/[\w/.-]+\.(?:py|yaml|md|css|html))`"
    named = set(re.findall(pattern, TEXTS[name]))
    assert [path for path in sorted(named) if not (CHECKOUT / path).exists()] == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = call(BIN / "python", "-m", "docs.build_site", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    built = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert {page.stem for page in PAGES} <= built


def test_a_broken_link_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = copy_of_checkout(tmp_path / "checkout")
    (checkout / "docs" / "lists.md").write_text("# Lists\n\n[gone](nowhere.md)\n")
    monkeypatch.setattr(build_site, "CHECKOUT", checkout)
    assert build_site.build(tmp_path / "site") != 0
