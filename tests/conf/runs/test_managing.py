"""Going back: to sound versions only, and said with both ids."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from conf.errors import ConfigError, VersionError
from conf.runs.managing import run_rollback
from conf.settings.config import Config
from conf.settings.privacy import Privacy
from conf.workspace.pointers import current_version, publish
from tests.conf.workspace.test_versions import commit_model


def config_of(workspace: Path, verify: str = "sizes") -> Config:
    run = SimpleNamespace(output=str(workspace), lock_lease_seconds=60, verify=verify)
    return cast(Config, SimpleNamespace(run=run, privacy=Privacy()))


def two_models(workspace: Path) -> tuple[str, str]:
    first, second = (commit_model(workspace, digit * 64) for digit in "ab")
    for version in (first, second):
        publish(workspace, "models", version, "2026-01-01")
    return first, second


def test_it_is_told_what_is_current_and_what_was_withdrawn(tmp_path: Path) -> None:
    first, second = two_models(tmp_path)
    result = run_rollback(config_of(tmp_path), "models")
    assert (result["current"], result["withdrawn"]) == (first, second)
    assert run_rollback(config_of(tmp_path), "models", second)["allowed"] == second
    assert publish(tmp_path, "models", second, "2026-01-01") == "published"


@pytest.mark.parametrize(
    ("content", "verify", "told"),
    [(b"12", "sizes", "has 2 bytes"), (b"4321", "checksums", "has other content")],
)
def test_a_damaged_version_is_not_gone_back_to(
    tmp_path: Path, content: bytes, verify: str, told: str
) -> None:
    first, second = two_models(tmp_path)
    (tmp_path / "models" / first / "weights.safetensors").write_bytes(content)
    with pytest.raises(VersionError, match=told):
        run_rollback(config_of(tmp_path, verify), "models")
    assert current_version(tmp_path, "models") == second


@pytest.mark.parametrize(
    ("kind", "allowed", "told"),
    [
        ("model", None, "is not one of datasets, models, lists"),
        ("lists", None, "no earlier version"),
        ("lists", "x", "no withdrawn version of .*lists; those are: none"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, kind: str, allowed: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run_rollback(config_of(tmp_path), kind, allowed)
