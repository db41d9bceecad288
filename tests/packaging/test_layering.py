"""What the packages may import, be called and contain."""

import re
import sys
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.packaging.checkout import (
    BIN,
    CHECKOUT,
    PACKAGES,
    call,
    copy_of_checkout,
    package_files,
)

MOST_LINES, MOST_MODULES = 350, 15
AT_ROOT = (
    "Makefile",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "pyproject.toml",
    "constraints.txt",
    ".ci/run",
    ".pre-commit-config.yaml",
    ".gitignore",
)
OF_ONE_MACHINE = re.compile(
    r"(?<![\w.$}/-])/(work|root|home|Users)\b"  # somebody's folders
    r"|\bshared/"
    r"|pypi\.org|pythonhosted|download\.pytorch"  # hosts that pip's own settings choose
)

AGAINST = (
    ("conf/pages", "etl.pipeline", "etl builds on conf"),
    ("conf/pages", "torch", "conf starts none of the engines"),
    ("conf/settings", "conf.runs.stages", "the rooms of conf"),
    ("conf/runs", "conf.erasure.erase", "the rooms of conf"),
    ("etl/spark", "trainer.networks.losses", "etl and trainer meet in data on disk"),
    ("etl/spark", "serving.score", "etl and serving meet in data on disk"),
    ("etl/spark", "ray", "etl runs without torch, ray and petastorm"),
    ("etl/spark", "torch", "etl runs without torch, ray and petastorm"),
    ("etl/spark", "petastorm", "etl runs without torch, ray and petastorm"),
    ("etl/reading", "etl.privacy.rows", "the rooms of etl"),
    ("etl/cleaning", "etl.made_up.shop", "the made-up shop is tied to nothing else"),
    ("trainer/networks", "etl.pipeline", "etl and trainer meet in data on disk"),
    ("trainer/networks", "serving.score", "serving builds on trainer, trainer on conf"),
    ("trainer/networks", "pyspark", "trainer and serving run without pyspark"),
    ("trainer/networks", "pyarrow", "models are pure torch"),
    ("trainer/training", "trainer.retrieval.task", "the rooms of trainer"),
    ("serving/rules", "serving.ranking.topk", "the rooms of serving"),
    ("serving/ranking", "etl.pipeline", "etl and serving meet in data on disk"),
    ("serving/delivery", "ray", "delivery runs without the engines"),
    ("serving/scoring", "pyspark", "trainer and serving run without pyspark"),
)
"""Where an import is planted, what it imports, and the contract that it breaks."""


def lint_imports(checkout: Path) -> tuple[int, str]:
    done = call(BIN / "lint-imports", "--no-logo", "--no-cache", cwd=checkout)
    return done.returncode, done.stdout + done.stderr


def test_layers_hold() -> None:
    code, report = lint_imports(CHECKOUT)
    assert code == 0, report


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that keeps its contracts with another module in each room."""
    copied = copy_of_checkout(tmp_path_factory.mktemp("layers"))
    planted = {copied / room / "planted.py" for room, _, _ in AGAINST}
    for path in planted:
        path.write_text("import json\n")
    code, report = lint_imports(copied)
    assert code == 0, report
    for path in planted:
        path.unlink()
    return copied


@pytest.mark.parametrize(("room", "imported", "contract"), AGAINST)
def test_import_against_the_layers_is_found(
    checkout: Path, room: str, imported: str, contract: str
) -> None:
    planted = checkout / room / "planted.py"
    planted.write_text(f"import {imported}\n")
    try:
        code, report = lint_imports(checkout)
    finally:
        planted.unlink()
    assert code == 1
    assert f"{contract} BROKEN" in report
    assert f"{room.replace('/', '.')}.planted" in report


def test_petastorm_is_reached_in_one_place() -> None:
    users = {
        path.relative_to(CHECKOUT).as_posix()
        for path in package_files("*.py")
        if re.search(r"^\s*(from|import) petastorm", path.read_text(), flags=re.MULTILINE)
    }
    assert users <= {"trainer/data/stream.py", "trainer/data/petastorm_bridge.py"}


def test_no_module_is_named_like_another() -> None:
    """A script that is run from its folder would import its neighbour instead."""
    installed = {
        name for name, owners in packages_distributions().items() if set(owners) != {"headrace"}
    }
    taken = sys.stdlib_module_names | installed
    names = [*PACKAGES, *(path.stem for path in package_files("*.py"))]
    assert {name for name in names if not name.startswith("__")} & taken == set()


def test_no_file_names_a_place_of_one_machine() -> None:
    paths = [*package_files("*"), *(CHECKOUT / name for name in AT_ROOT)]
    paths += [path for path in (CHECKOUT / "docs").glob("*.*") if path.is_file()]
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if OF_ONE_MACHINE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ['ROOT = "/work/data"', "cd /root", "open('../shared/data')", "see https://pypi.org"]
)
def test_place_of_one_machine_is_recognised(line: str) -> None:
    assert OF_ONE_MACHINE.search(line)


@pytest.mark.parametrize("line", ["mountPath: /workspace", "input.root", "run/work", "${HOME}/x"])
def test_other_paths_are_left_alone(line: str) -> None:
    assert not OF_ONE_MACHINE.search(line)


def test_no_folder_holds_too_many_modules() -> None:
    modules = [path for path in package_files("*.py") if path.name != "__init__.py"]
    counts = Counter(path.parent.relative_to(CHECKOUT).as_posix() for path in modules)
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_no_file_is_too_long() -> None:
    tests = (CHECKOUT / "tests").rglob("*.py")
    long = [
        f"{path.relative_to(CHECKOUT)}: {text.count(chr(10))} lines"
        for path in [*package_files("*.py"), *tests]
        if (text := path.read_text()).count("\n") > MOST_LINES
    ]
    assert long == []
