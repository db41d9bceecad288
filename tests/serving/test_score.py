"""Each way to end a scoring run is tried on the same small shop."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from conf.contract import Manifest
from conf.errors import ConfigError, GateError, VersionError
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.versions import current_version
from serving import score, show
from serving.publish import part_name, write_part
from serving.worker import PartScorer, ScoringJob
from tests.serving.tiny_shop import (
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
from trainer.cluster.ray_session import ray_session
from trainer.models.bundle import load_bundle
from trainer.models.reasons import explain
from trainer.models.scorer import ModelScorer
from trainer.networks.inputs import HistoryBatch

HISTORIES = [[2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12], [], [3, 3], [2], [12, 2, 9, 9], [1], [4, 11]]
ITEMS = 11
LENGTH = 4
Scored = tuple[Config, dict[str, Any]]


def score_tiny(config: Config, manifest: Manifest, model_id: str) -> str:
    request = request_of(config, manifest.id, model_id)
    return score.run(config, dataset_id=manifest.id, model_id=model_id, request=request)


@pytest.fixture(scope="module")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests that score in this process."""
    with ray_session(tiny_config(tmp_path_factory.mktemp("ray"))):
        yield


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

    complaint = finish(start_scoring(write_config(tmp_path)), exit_code=6)["stderr"]

    for part in (model_id, "vocabulary-1", "other", "vocabulary-2"):
        assert part in complaint.replace("\n", " ")
    assert not (tmp_path / "lists" / "CURRENT.json").exists()


@pytest.mark.usefixtures("shared_ray")
def test_a_small_catalogue_gives_lists_of_what_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(tmp_path, "score.list_length=10")
    write_model(config, write_dataset(tmp_path, [[2], [], [2, 3, 4]], items=3))

    with caplog.at_level("WARNING"):
        result = run_score(config)

    assert "score.list_length=10, but dataset tiny-dataset has 3 items" in caplog.text
    assert result["published"] == "published"
    assert result["short_lists"] == {"catalogue_small": 2}
    assert result["users_without_lists"] == {"catalogue_exhausted": 1}
    assert [text.split(":")[0] for text in result["warnings"]] == [
        "users_without_lists", "short_lists",
    ]  # fmt: skip
    lists = read_lists(Path(result["folder"]))
    assert [(row["user_id"], row["position"]) for row in lists] == [
        ("u0", 1), ("u0", 2), ("u1", 1), ("u1", 2), ("u1", 3),
    ]  # fmt: skip


@pytest.mark.usefixtures("shared_ray")
def test_every_user_has_rows_or_an_entry_with_the_reason(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    histories = [list(range(2, 9)), [2], list(range(2, 9)), [3], [4]]
    write_model(config, write_dataset(tmp_path, histories, items=7, group_rows=2))

    result = run_score(config)

    folder = Path(result["folder"])
    manifest = score.read_manifest(tmp_path, "lists", result["id"], score.ListsManifest)
    assert manifest.absent is not None
    absent = pq.read_table(folder / manifest.absent.path).to_pylist()
    assert absent == [
        {"user_id": "u0", "why_absent": "catalogue_exhausted"},
        {"user_id": "u2", "why_absent": "catalogue_exhausted"},
    ]
    assert {row["user_id"] for row in read_lists(folder)} == {"u1", "u3", "u4"}
    assert result["counts"]["users_without_lists"] == 2
    shown = show.run(config, user_id="u0")
    assert shown["list"] == []
    assert shown["why_absent"]["reason"] == "catalogue_exhausted"
    (folder / manifest.absent.path).write_bytes(b"")
    with pytest.raises(VersionError, match="users_without_lists"):
        score.read_manifest(tmp_path, "lists", result["id"], score.ListsManifest)


@pytest.mark.usefixtures("shared_ray")
def test_a_model_of_an_earlier_dataset_gives_everybody_a_list(tmp_path: Path) -> None:
    """The dataset has three items more than the model, which some users know alone."""
    config = tiny_config(tmp_path, "score.list_length=6")
    first = write_dataset(tmp_path, [[2, 3], [4, 5], [3, 6]], items=5)
    model_id = write_model(config, first)
    histories = [[2, 3], [4, 5], [3, 6], [7, 8, 9], [8, 9], [], [2, 3, 4, 5, 6]]
    item = first.vocabularies["item"]
    earlier = ((item.size, item.fingerprint),)
    manifest = write_dataset(
        tmp_path, histories, items=8, name="later", fingerprint="more", earlier=earlier
    )

    result = run_score(config)

    assert result["published"] == "published" and all(result["gates"].values())
    assert result["fallbacks"] == {"history_unknown_to_model": 2, "no_history": 1}
    assert result["users_without_lists"] == {"few_known_items": 1}
    lists: dict[str, list[str]] = {}
    for row in read_lists(Path(result["folder"])):
        lists.setdefault(row["user_id"], []).append(row["item_id"])
    assert lists["u3"] == ["i3", "i2", "i4", "i5", "i6"]  # by events, none of its own i7, i8, i9
    assert len(lists["u4"]) == 6 and not {"i8", "i9"} & set(lists["u4"])
    assert len(lists["u0"]) == 3 and set(lists["u0"]) == {"i4", "i5", "i6"}
    assert "u6" not in lists and model_id and manifest.id


@pytest.mark.usefixtures("shared_ray")
def test_a_scorer_that_loses_items_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path, "score.list_length=3")
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    run_score(config)
    again = tiny_config(tmp_path, "score.list_length=4")
    monkeypatch.setattr(score, "_score_parts", lose_an_item)

    with pytest.raises(GateError, match=r"unexplained_short_lists: 7 of 8 users"):
        run_score(again)


def lose_an_item(job: ScoringJob, parts: list[int], progress: Any) -> None:
    """Score, and cut the last place out of the lists of all but `u1`, who has only three items."""
    scorer = PartScorer(job)
    for part in parts:
        users = scorer.score(part)
        path = job.folder / part_name(part)
        table = pq.read_table(path)
        kept = table.filter(pc.not_equal(table["position"], 4))
        write_part(path, kept, request=job.request, num_users=users)


@pytest.mark.usefixtures("shared_ray")
def test_more_cpus_than_ray_has_are_refused_instead_of_waited_for(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "score.cpus_per_worker=9")
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS)

    with pytest.raises(ConfigError, match=r"cpus_per_worker=9 .* more than Ray has"):
        score_tiny(config, manifest, write_model(config, manifest))


@pytest.mark.usefixtures("shared_ray")
def test_a_refused_version_leaves_the_published_one(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    published = run_score(config)["id"]
    strict = tiny_config(tmp_path, "score.reasons=0", "score.gates.short_lists.refuse_above=0.1")

    for _ in range(2):  # the second time the version is found, and refused again
        with pytest.raises(GateError, match="short_lists: 1 of 8 users"):
            run_score(strict)

    assert current_version(tmp_path, "lists") == published
    assert len(list((tmp_path / "lists").glob("*/lists.json"))) == 2


@pytest.mark.usefixtures("shared_ray")
def test_another_limit_is_applied_without_scoring_again(tmp_path: Path) -> None:
    strict = tiny_config(tmp_path, "score.gates.short_lists.refuse_above=0.1")
    write_model(strict, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    with pytest.raises(GateError, match=r"short_lists\.refuse_above=0\.1"):
        run_score(strict)

    result = run_score(tiny_config(tmp_path, "score.gates.short_lists.refuse_above=0.2"))

    assert result["status"] == "already done" and result["published"] == "published"
    assert [text.split(":")[0] for text in result["warnings"]] == ["short_lists"]


@pytest.mark.usefixtures("shared_ray")
def test_new_lists_are_compared_with_the_current_ones(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    first = run_score(config)
    assert first["figures"]["overlap_with_previous"] is None

    again = run_score(tiny_config(tmp_path, "score.reasons=1"))

    assert again["id"] != first["id"]
    assert again["figures"]["overlap_with_previous"] == 1
    assert again["counts"]["compared_users"] == 8


@pytest.mark.usefixtures("shared_ray")
def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "score.drop_seen=false")
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))

    result = run_score(config)

    assert result["counts"]["seen_items"] is result["figures"]["seen_items"] is None
    assert result["counts"]["full_lists"] == 8 and result["warnings"] == []


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


def wait_for_part(workspace: Path, process: subprocess.Popen[str]) -> Path:
    """Return the folder of the lists as soon as its first part is there."""
    while True:
        found = list((workspace / "lists").glob("*/part-00000.parquet"))
        if found:
            return found[0].parent
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)


@pytest.mark.usefixtures("shared_ray")
def test_a_killed_scorer_goes_on_and_gives_the_same_files(tmp_path: Path) -> None:
    parts = 16
    config_path = big_shop(tmp_path / "killed", parts)
    process = start_scoring(config_path)
    folder = wait_for_part(tmp_path / "killed", process)
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


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    process = start_scoring(big_shop(tmp_path, 16))
    wait_for_part(tmp_path, process)
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True)
        if child.name().startswith("ray::PartScorer") or "PartScorer" in " ".join(child.cmdline())
    ]  # fmt: skip
    assert len(workers) == 1
    workers[0].kill()

    result = finish(process)

    assert result["counts"]["users"] == 16 * 200 and all(result["gates"].values())
