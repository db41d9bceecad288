"""Every configuration, command and program in the manual is valid."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from omegaconf import OmegaConf

from conf.command.cli import app
from conf.settings.config import Config
from conf.settings.key_tree import parts_at
from conf.settings.load import load_config
from tests.docs.samples import Sample, all_samples, samples_of, shop_yaml
from tests.packaging.checkout import BIN, CHECKOUT, call

OURS = [sample for sample in all_samples("yaml") if sample.how != "other"]
COMMANDS = all_samples("sh")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KEY", "k" * 40)
    monkeypatch.setenv("HEADRACE_KEY_2027", "l" * 40)
    for name in ("DATABASE", "CACHE", "STORE_ID", "STORE_SECRET"):
        monkeypatch.setenv(f"SHOP_{name}", f"of-{name}")
    monkeypatch.setenv("SHOP_STORE", "http://127.0.0.1:1")


def base_of(sample: Sample) -> str:
    """Return the configuration that a fragment changes."""
    if sample.how.startswith("over "):
        return (CHECKOUT / sample.how.removeprefix("over ")).read_text(encoding="utf-8")
    earlier = [
        other.text
        for other in samples_of(sample.page, "yaml")
        if other.is_whole and other.line < sample.line
    ]
    return earlier[-1] if earlier else shop_yaml()


@pytest.mark.parametrize("sample", OURS, ids=str)
def test_configuration_is_valid(sample: Sample, tmp_path: Path) -> None:
    tree = OmegaConf.create(sample.text)
    if not sample.is_whole:
        tree = OmegaConf.merge(OmegaConf.create(base_of(sample)), tree)
    path = tmp_path / "shop.yaml"
    OmegaConf.save(tree, path)
    load_config(path, sample.overrides)


def test_pages_hold_as_many_samples_as_they_should() -> None:
    assert sum(sample.is_whole for sample in OURS) > 5
    assert len(OURS) > 25
    assert len(COMMANDS) > 10


def lines_of(sample: Sample) -> list[list[str]]:
    """Return the commands of a block, word by word."""
    joined = re.sub(r"\\\n\s*", " ", sample.text)
    return [shlex.split(line, comments=True) for line in joined.splitlines() if line.strip()]


STAGES = {"trainer": "train", "serving": "score", "etl": "etl", "etl/__main__.py": "etl"}
OTHERS = {
    "export", "ray", "kubectl", "systemctl", "openssl", "curl", "cp", "pip", ".", "cd", "mkdir",
    "crontab", "journalctl", "pre-commit", "docker", "ls", "set", "test",
    "chmod",
}  # fmt: skip


def require_valid(sample: Sample, words: list[str]) -> None:
    """Check the flags and the overrides of one subcommand."""
    root = typer.main.get_command(app)
    command = root.commands[words[0]]  # type: ignore[attr-defined]
    given = command.make_context(words[0], list(words[1:])).params
    for override in given["overrides"] or ():
        key = override.partition("=")[0]
        assert parts_at(Config, key.split(".")), f"{sample}: there is no key {key}"


@pytest.mark.parametrize("sample", COMMANDS, ids=str)
def test_commands_exist_with_their_options(sample: Sample) -> None:
    for words in lines_of(sample):
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if not words:
            continue
        name = words[0].removeprefix(".venv/bin/")
        stage = next((place for place, word in enumerate(words) if word in STAGES), None)
        if name == "headrace" and not words[1].startswith("--"):
            require_valid(sample, words[1:])
        elif stage is not None:
            require_valid(sample, [STAGES[words[stage]], *words[stage + 1 :]])
        elif name == "make":
            for target in (word for word in words[1:] if "=" not in word):
                assert call("make", "-n", target).returncode == 0, f"{sample}: {target}"
        elif name == "python" and words[1] == "-m" and words[2] != "pytest":
            module = words[2].replace(".", "/")
            places = (f"{module}.py", f"{module}/__main__.py")
            assert any((CHECKOUT / place).is_file() for place in places), f"{sample}: {module}"
        else:
            assert name in {"headrace", "python", *OTHERS}, f"{sample}: what is {words[0]}?"


def test_the_command_itself_is_there() -> None:
    assert call(BIN / "headrace", "--version").returncode == 0
