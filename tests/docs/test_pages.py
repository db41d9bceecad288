"""What the manual says about keys, files and exit codes is so, and it builds without a warning."""

import re
from pathlib import Path

import pytest
import yaml

from conf import errors
from conf.command.streams import BROKEN_PIPE
from conf.settings.config import Config
from conf.settings.key_tree import known_keys, parts_at
from docs import build_site, reference
from serving.gates.verdicts import GATES
from serving.rules.possible import MEANINGS
from tests.docs.samples import PAGES, shop_yaml
from tests.packaging.checkout import BIN, CHECKOUT, call, copy_of_checkout

TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
README_LINES = 200
WITH_DEFAULTS = ("your-data.md",)


def test_generated_pages_are_up_to_date() -> None:
    done = call(BIN / "python", "-m", "docs.reference", "--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    page = tmp_path / "settings.md"
    page.write_text(page.read_text().replace("| `seed` |", "| `sead` |"))
    assert reference.main(["--check"]) == 1
    assert "settings.md is out of date" in capsys.readouterr().err


def test_every_setting_has_a_meaning() -> None:
    meanings = {
        f"{path}.{name}": text
        for path, section in reference.sections(Config)
        for name, text in reference.descriptions(section).items()
    }
    assert len(meanings) > 350
    assert [key for key, text in meanings.items() if len(text) < 5] == []


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("etl.clean.keep_from", "etl.clean.keep_to"),
        ("etl.clean.keep_from", "input.events.NAME.time_unit"),
        ("train.algorithm", "etl.impressions"),
        ("train.warm_start.model", "train.refit"),
    ],
)
def test_keys_of_one_rule_go_together(key: str, other: str) -> None:
    partners = reference.partners()
    assert other in partners[key]
    assert key in partners[other]
    assert "train.epochs" not in partners[key]


@pytest.mark.parametrize("name", TEXTS)
def test_defaults_that_a_page_names_are_those_of_the_code(name: str) -> None:
    """In tables with the columns key and default, after a text that names the section."""
    section, is_table, checked, wrong = "", False, 0, []
    for line in TEXTS[name].splitlines():
        named = [key for key in re.findall(r"`([a-z]+[a-z_.]*)`", line) if is_key(key)]
        section = named[-1] if named and not line.startswith("| `") else section
        is_table = (is_table and line.startswith("|")) or "| default |" in line
        row = re.match(r"\| `([a-z_.]+)` \| `?([\d.]+|null|true|false)`? \|", line)
        keys = (f"{section}.{row[1]}", f"{section}.NAME.{row[1]}", row[1]) if row else ()
        for key in keys if is_table else ():
            default = reference.default_of(key)
            if row and default is not None:
                checked += 1
                if yaml.safe_load(default) != yaml.safe_load(row[2]):
                    wrong.append(f"{key}: {row[2]} for {default}")
    assert wrong == []
    assert checked > 0 or name not in WITH_DEFAULTS


def test_the_readme_is_short_and_has_the_shop_of_the_manual() -> None:
    assert TEXTS["README.md"].count("\n") <= README_LINES
    stripped = [re.sub(r" *#.*", "", text) for text in (shop_yaml(), TEXTS["your-data.md"])]
    assert stripped[0] in stripped[1]


@pytest.mark.parametrize("name", TEXTS)
def test_keys_that_a_page_names_exist(name: str) -> None:
    sections = "|".join(Config.model_fields)
    named = set(re.findall(rf"`((?:{sections})(?:\.[a-zA-Z_*]+)+)[`=:]", TEXTS[name]))
    assert [key for key in sorted(named) if not is_key(key) and not is_module(key)] == []
    assert name not in ("troubleshooting.md", "training.md", "cleaning.md") or len(named) > 8


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


@pytest.mark.parametrize(
    ("page", "key"),
    [
        ("training.md", "train.model.encoder"),
        ("training.md", "train.loss.kind"),
        ("training.md", "train.optimizer.kind"),
        ("choosing.md", "train.algorithm"),
        ("impressions.md", "train.ranking.interaction"),
        ("impressions.md", "train.ranking.history"),
        ("your-data.md", "etl.split.kind"),
    ],
)
def test_a_page_names_every_value_of_a_setting(page: str, key: str) -> None:
    values = reference.values_of(key)
    assert len(values) > 2
    assert [value for value in values if f"`{value}`" not in TEXTS[page]] == []


def test_the_page_of_lists_has_all_gates_and_reasons() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", TEXTS["lists.md"], flags=re.MULTILINE)
    assert {*GATES, *MEANINGS} <= set(rows)


def test_exit_codes_of_the_manual_are_those_of_the_errors() -> None:
    table = TEXTS["troubleshooting.md"]
    listed = {int(code) for code in re.findall(r"^\| `?(\d+)`? \|", table, flags=re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {kind.exit_code for kind in kinds if issubclass(kind, errors.HeadraceError)}
    assert listed == {0, *raised, 129, 130, BROKEN_PIPE, 143}


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
