"""Each way to end a scoring run is tried on the same small shop."""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread, main_thread
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from conf.contract import Manifest
from conf.errors import ConfigError, VersionError
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.pointers import current_version
from serving import score
from tests.listening import family_of
from tests.serving.tiny_shop import (
    HISTORIES,
    ITEMS,
    finish,
    read_lists,
    request_of,
    start_scoring,
    tiny_config,
    write_config,
    write_dataset,
    write_model,
)
from tests.trainer.small_parts import ragged
from trainer.models.bundle import load_bundle
from trainer.models.reasons import explain
from trainer.models.scorer import ModelScorer
from trainer.networks.inputs import HistoryBatch

LENGTH = 4
Scored = tuple[Config, dict[str, Any]]


def score_tiny(config: Config, manifest: Manifest, model_id: str) -> str:
    request = request_of(config, manifest.id, model_id)
    return score.run(config, dataset_id=manifest.id, model_id=model_id, request=request)


@pytest.fixture(scope="module")
def scored(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Lists of `HISTORIES`, made by two workers and published."""
    workspace = tmp_path_factory.mktemp("scored")
    config = tiny_config(workspace, "score.workers=2")
    manifest = write_dataset(workspace, HISTORIES, items=ITEMS)
    write_model(config, manifest)
    return config, run_score(config)


def test_lists_equal_a_full_sort_of_the_models_scores(scored: Scored) -> None:
    config, result = scored
    workspace = Path(config.run.output)
    _, model = load_bundle(workspace, current_version(workspace, "models"))
    items = model.item_vectors().detach()
    lists: dict[str, list[dict[str, Any]]] = {}
    for row in read_lists(Path(result["folder"])):
        lists.setdefault(row["user_id"], []).append(row)

    for user, history in enumerate(HISTORIES):
        if not any(item >= 2 for item in history):
            continue
        newest = torch.tensor([history[-6:]])
        batch = HistoryBatch(newest, torch.tensor([newest.shape[1]]))
        with torch.no_grad():
            scores = (model.encode(batch) @ items.T)[0].numpy()
        allowed = [item for item in range(2, ITEMS + 2) if item not in history]
        ranked = sorted(allowed, key=lambda item: -scores[item])[:LENGTH]
        rows = lists[f"u{user}"]
        assert [row["item_id"] for row in rows] == [f"i{item}" for item in ranked]
        assert [row["position"] for row in rows] == list(range(1, len(ranked) + 1))
        np.testing.assert_allclose([row["score"] for row in rows], scores[ranked], rtol=1e-4)
        assert {row["source"] for row in rows} == {"model"}
        reasons = explain(
            ModelScorer(model),
            ragged([history]),
            np.arange(1),
            torch.tensor([ranked]),
            num_reasons=2,
        )
        for place, row in enumerate(rows):
            named = [f"i{i}" for i in reasons.item_idx[0, place].tolist() if i >= 0]
            assert [reason["item_id"] for reason in row["reasons"] or ()] == named


def test_users_without_history_get_what_is_popular(scored: Scored) -> None:
    rows = [row for row in read_lists(Path(scored[1]["folder"])) if row["user_id"] in ("u2", "u6")]

    events = sum(len([item for item in history if item >= 2]) for history in HISTORIES)
    assert [row["item_id"] for row in rows] == ["i2", "i3", "i9", "i4"] * 2
    assert [round(row["score"] * events) for row in rows] == [3, 3, 3, 2] * 2
    assert {row["source"] for row in rows} == {"fallback"}
    assert {row["reasons"] for row in rows} == {None}
    assert {(row["user_id"], row["why_fallback"]) for row in rows} == {
        ("u2", "no_history"), ("u6", "history_unknown_to_model"),
    }  # fmt: skip


def test_counts_and_short_lists_are_in_the_manifest(scored: Scored) -> None:
    config, result = scored

    assert result["counts"]["users"] == 8 and result["counts"]["fallback_lists"] == 2
    assert result["counts"]["full_lists"] == 7  # u1 has seen 8 of the 11 items
    assert all(result["gates"].values())
    manifest = score.read_manifest(
        Path(config.run.output), "lists", result["id"], score.ListsManifest
    )
    assert manifest.short_lists == {"catalogue_exhausted": 1}
    assert manifest.fallbacks == {"history_unknown_to_model": 1, "no_history": 1}
    assert manifest.users_without_lists == {} and manifest.absent is None
    assert manifest.figures["overlap_with_previous"] is None
    assert manifest.figures["short_lists"] == 1 / 8
    assert {row["why_short"] for row in read_lists(Path(result["folder"]))} == {
        None, "catalogue_exhausted",
    }  # fmt: skip
    assert [file.rows for file in manifest.files["lists"]] == [11, 12, 8]
    assert run_score(config)["status"] == "already done"


@pytest.mark.usefixtures("scored_here")
def test_block_sizes_and_workers_do_not_change_the_lists(scored: Scored, tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "score.block_users=100", "score.block_items=2")
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS, group_rows=5)

    version = score_tiny(config, manifest, write_model(config, manifest))

    lists = read_lists(tmp_path / "lists" / version)

    expected = read_lists(Path(scored[1]["folder"]))
    for row, other in zip(lists, expected, strict=True):
        for key in ("user_id", "position", "item_id", "source"):
            assert row[key] == other[key]
        assert row["score"] == pytest.approx(other["score"], rel=1e-4)


def test_a_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    first = write_dataset(tmp_path, HISTORIES, items=ITEMS)
    model_id = write_model(config, first)
    write_dataset(tmp_path, HISTORIES, items=ITEMS, name="other", fingerprint="vocabulary-2")

    with pytest.raises(VersionError) as raised:
        run_score(config)

    assert raised.value.exit_code == 6
    for part in (model_id, "vocabulary-1", "other", "vocabulary-2"):
        assert part in str(raised.value)
    assert not (tmp_path / "lists" / "CURRENT.json").exists()


@pytest.mark.usefixtures("shared_ray")
def test_more_cpus_than_ray_has_are_refused_instead_of_waited_for(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "score.cpus_per_worker=9")
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS)

    with pytest.raises(ConfigError, match=r"cpus_per_worker=9 .* more than Ray has"):
        score_tiny(config, manifest, write_model(config, manifest))


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS)
    model_id = write_model(config, manifest)
    path = tmp_path / "models" / model_id / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)

    with pytest.raises(VersionError, match="SHA-256 differs"):
        score_tiny(config, manifest, model_id)


@pytest.mark.usefixtures("shared_ray")
def test_a_diverged_model_is_named_as_the_cause(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS)

    with pytest.raises(VersionError, match="it has diverged; lower"):
        score_tiny(config, manifest, write_model(config, manifest, fill=float("nan")))


def big_shop(workspace: Path, parts: int) -> Path:
    rng = np.random.default_rng(1)
    histories = [rng.integers(2, 300, 6).tolist() for _ in range(parts * 200)]
    path = write_config(workspace, block_users=100, block_items=128)
    write_model(load_config(path), write_dataset(workspace, histories, items=300, group_rows=200))
    return path


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("part-*")}


def wait_for_part(workspace: Path, is_running: Callable[[], bool]) -> Path:
    """Return the folder of the lists as soon as its first part is there."""
    while True:
        found = list((workspace / "lists").glob("*/part-00000.parquet"))
        if found:
            return found[0].parent
        assert is_running()
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_a_killed_scorer_goes_on_and_gives_the_same_files(tmp_path: Path) -> None:
    parts = 16
    config_path = big_shop(tmp_path / "killed", parts)
    process = start_scoring(config_path)
    folder = wait_for_part(tmp_path / "killed", lambda: process.poll() is None)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _wait_for_end(tmp_path / "killed")
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    assert 0 < len(kept) < parts
    (folder / "part-00001.parquet").write_bytes(b"cut off")
    (folder / "part-00015.parquet.123").write_bytes(b"left over")

    result = finish(start_scoring(config_path))

    assert result["published"] == "published" and result["counts"]["users"] == parts * 200
    again = {name: (folder / name).stat().st_mtime_ns for name in kept}
    assert {name for name in kept if again[name] != kept[name]} <= {"part-00001.parquet"}
    whole = run_score(load_config(big_shop(tmp_path / "whole", parts)))
    assert hashes(folder) == hashes(Path(whole["folder"]))
    assert len(hashes(folder)) == parts


def _wait_for_end(workspace: Path) -> None:
    """Wait until no worker of a killed scorer is left."""
    lists = str(workspace)
    while any(lists in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])):
        time.sleep(0.05)


@pytest.mark.usefixtures("shared_ray")
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    config = load_config(big_shop(tmp_path, 16))
    killed: list[int] = []

    def kill_the_worker() -> None:
        wait_for_part(tmp_path, main_thread().is_alive)
        (worker,) = [
            process for process in psutil.process_iter(["name", "cmdline"])
            if process.pid in {child.pid for child in family_of(os.getpid())}
            and "PartScorer" in " ".join([process.info["name"], *(process.info["cmdline"] or ())])
        ]  # fmt: skip
        worker.kill()
        killed.append(worker.pid)

    killer = Thread(target=kill_the_worker, daemon=True)
    killer.start()

    result = run_score(config)

    killer.join()
    assert killed
    assert result["counts"]["users"] == 16 * 200 and all(result["gates"].values())
