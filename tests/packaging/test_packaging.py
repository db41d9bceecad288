"""The wheel, the pins, the command and the Makefile."""

import re
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import conf
from tests.packaging.checkout import BIN, CHECKOUT, PACKAGES, call, copy_of_checkout, project
from tests.packaging.checkout import package_files as files

TARGETS = ("help", "setup", "demo", "check", "test", "test-all", "docs", "bench",
           "bench-quality", "clean")  # fmt: skip
COMMANDS = ("etl", "train", "evaluate", "score", "run", "generate", "show", "status", "rollback",
            "erase", "deliver", "card", "tune", "compare", "advise", "promote", "gc")  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_of_checkout(folder)
    (source / "conf" / "deploy" / "__pycache__").mkdir(parents=True, exist_ok=True)
    (source / "conf" / "deploy" / "__pycache__" / "left.cpython-311.pyc").write_bytes(b"")
    built = call(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--wheel-dir", folder / "out", source,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return next((folder / "out").glob("headrace-*.whl"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_exactly_the_four_packages(wheel: Path) -> None:
    folders = {name.split("/")[0] for name in names_in(wheel)}
    assert folders == {
        *PACKAGES,
        f"headrace-{conf.__version__}.dist-info",
        f"headrace-{conf.__version__}.data",
    }


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    kinds = ("*.py", "*.yaml", "*.properties", "*.html", "*.css")
    wanted = [path for kind in kinds for path in files(kind)]
    wanted += [path for path in files("*") if "deploy" in path.parts]
    expected = {path.relative_to(CHECKOUT).as_posix() for path in wanted}
    packed = {name for name in names_in(wheel) if name.split("/")[0] in PACKAGES}
    assert packed == expected


def test_wheel_holds_the_manual_with_the_pages_that_it_links_to(wheel: Path) -> None:
    folder = f"headrace-{conf.__version__}.data/data/share/doc/headrace/"
    packed = {name.removeprefix(folder) for name in names_in(wheel) if name.startswith(folder)}
    pages = {f"docs/{path.name}" for path in (CHECKOUT / "docs").glob("*.md")}
    assert packed == pages | {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"}


def test_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "from conf.command import cli; print(cli.__file__); cli.app(['--help'])"
    done = call(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "conf" / "command" / "cli.py")


def test_command_lists_its_subcommands() -> None:
    done = call(BIN / "headrace", "--help", COLUMNS="120", NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", done.stdout)] == []


def pins() -> dict[str, Version]:
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_every_requirement_is_pinned_within_its_range() -> None:
    table = project()["project"]
    extras = [line for extra in table["optional-dependencies"].values() for line in extra]
    wrong = [
        line
        for line in [*table["dependencies"], *extras, *project()["build-system"]["requires"]]
        if (pin := pins().get(canonicalize_name(Requirement(line).name))) is None
        or pin not in Requirement(line).specifier
    ]
    assert wrong == []


def test_pins_name_no_build_of_one_machine() -> None:
    assert [name for name, version in pins().items() if version.local] == []


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_its_targets(target: str) -> None:
    done = call("make", "-n", target)
    assert done.returncode == 0, done.stderr


def test_make_alone_lists_all_targets() -> None:
    listed = re.findall(r"^ +make ([a-z-]+) ", call("make").stdout, flags=re.MULTILINE)
    assert tuple(listed) == TARGETS


def fake_java(folder: Path, version: str) -> str:
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    java.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("version", ["17.0.15", "21", "21.0.2"])
def test_java_that_spark_runs_on_is_accepted(tmp_path: Path, version: str) -> None:
    done = call("make", "java", JAVA_HOME=fake_java(tmp_path, version))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("version", "shown"), [("1.8.0_402", "1"), ("11.0.2", "11")])
def test_other_java_is_refused_with_what_to_install(
    tmp_path: Path, version: str, shown: str
) -> None:
    done = call("make", "java", JAVA_HOME=fake_java(tmp_path, version))
    assert done.returncode != 0
    assert f"'{tmp_path}/bin/java' is {shown}." in done.stderr
    assert "apt-get install openjdk-17-jre-headless" in done.stderr
    assert "dnf install" in done.stderr
    assert "brew install" in done.stderr


def test_python_that_is_too_old_is_refused_by_name(tmp_path: Path) -> None:
    old = tmp_path / "python3.8"
    old.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.8.1' && exit\nexit 1\n")
    old.chmod(0o755)
    venv = tmp_path / "venv"
    done = call("make", f"{venv}/.stamp", f"PYTHON={old}", f"VENV={venv}")
    assert done.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "Python 3.8.1" in done.stderr
    assert not venv.exists()
