import shutil
from pathlib import Path

import pytest

from conf.contract import Manifest
from conf.erasure import erase
from conf.errors import ConfigError
from conf.runs.managing import run_erase
from conf.workspace.versions import read_manifest
from tests.conf.erasable import DATASET, GONE, NAMES, REPORT, config_of, write_workspace


class Killed(BaseException):
    """Stands for a signal that no code can catch."""


@pytest.mark.parametrize("moment", range(9))
def test_killed_at_any_moment_it_completes_when_it_is_run_again(
    workspace: Path, users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Each version's swap is three steps; a kill before any of them leaves one that is whole."""
    steps = iter(range(9))

    def stop_at(step: object) -> None:
        if next(steps, None) == moment:
            raise Killed

    write_workspace(tmp_path / "other", NAMES, REPORT)
    whole = run_erase(config_of(tmp_path / "other"), users)
    real_rename, real_rmtree = Path.rename, shutil.rmtree

    def rename(path: Path, target: Path) -> Path:
        stop_at(path)
        return real_rename(path, target)

    def rmtree(path: Path, ignore_errors: bool = False) -> None:
        if str(path).endswith(".old"):
            stop_at(path)
        real_rmtree(path, ignore_errors=ignore_errors)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        patched.setattr("conf.workspace.swap.shutil.rmtree", rmtree)
        with pytest.raises(Killed):
            run_erase(config_of(workspace), users)
    again = run_erase(config_of(workspace), users)

    assert again["removed"] == whole["removed"] and again["found"] == whole["found"]
    for kind in ("datasets", "models", "lists"):
        names = [{p.name for p in (w / kind).iterdir()} for w in (workspace, tmp_path / "other")]
        assert names[0] == names[1]
    assert read_manifest(workspace, "datasets", DATASET, Manifest) == read_manifest(
        tmp_path / "other", "datasets", DATASET, Manifest
    )


def test_an_interrupted_erasure_is_not_forgotten_for_another(
    workspace: Path, users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(erase, "_erase_dataset", killed)
        with pytest.raises(Killed):
            run_erase(config_of(workspace), users)
    others = tmp_path / "others.txt"
    others.write_text(f"{NAMES[0]}\n")
    with pytest.raises(ConfigError, match="an erasure of 4 users was interrupted"):
        run_erase(config_of(workspace), others)
    others.write_text("\n".join([*GONE, NAMES[0]]))
    assert run_erase(config_of(workspace), others)["found"] == 4
