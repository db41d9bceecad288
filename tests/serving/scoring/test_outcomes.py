"""What becomes of users and lists in shops where not everything can be recommended to everybody."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from conf.contract import ListsManifest
from conf.errors import GateError, VersionError
from conf.runs.stages import run_score
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest
from serving import score, show
from serving.publishing.parts import part_name, write_part
from serving.ranking.rankers import NetworkRanker
from serving.rules.possible import FALLBACK_REASONS
from serving.scoring.worker import PartScorer, ScoringJob
from tests.serving.tiny_shop import (
    HISTORIES,
    ITEMS,
    read_lists,
    tiny_config,
    write_dataset,
    write_model,
)
from tests.trainer.small_parts import ragged


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


@pytest.mark.usefixtures("scored_here")
def test_every_user_has_rows_or_an_entry_with_the_reason(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    histories = [list(range(2, 9)), [2], list(range(2, 9)), [3], [4]]
    write_model(config, write_dataset(tmp_path, histories, items=7, group_rows=2))

    result = run_score(config)

    folder = Path(result["folder"])
    manifest = read_manifest(tmp_path, "lists", result["id"], ListsManifest)
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
        read_manifest(tmp_path, "lists", result["id"], ListsManifest)


@pytest.mark.usefixtures("scored_here")
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


@pytest.mark.usefixtures("scored_here")
def test_a_scorer_that_loses_items_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path, "score.list_length=3")
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    run_score(config)
    again = tiny_config(tmp_path, "score.list_length=4")
    monkeypatch.setattr(score, "score_parts", lose_an_item)

    with pytest.raises(GateError, match=r"unexplained_short_lists: 7 of 8 users"):
        run_score(again)


def lose_an_item(worker: Any, job: ScoringJob, parts: list[int], progress: Any) -> int:
    """Score, and cut the last place out of the lists of all but `u1`, who has only three items."""
    scorer = PartScorer(job)
    for part in parts:
        users = scorer.score(part)
        path = job.folder / part_name(part)
        table = pq.read_table(path)
        kept = table.filter(pc.not_equal(table["position"], 4))
        write_part(path, kept, request=job.request, num_users=users)
    return 0


@pytest.mark.usefixtures("scored_here")
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


@pytest.mark.usefixtures("scored_here")
def test_another_limit_is_applied_without_scoring_again(tmp_path: Path) -> None:
    strict = tiny_config(tmp_path, "score.gates.short_lists.refuse_above=0.1")
    write_model(strict, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    with pytest.raises(GateError, match=r"short_lists\.refuse_above=0\.1"):
        run_score(strict)

    result = run_score(tiny_config(tmp_path, "score.gates.short_lists.refuse_above=0.2"))

    assert result["status"] == "already done" and result["published"] == "published"
    assert [text.split(":")[0] for text in result["warnings"]] == ["short_lists"]


@pytest.mark.usefixtures("scored_here")
def test_new_lists_are_compared_with_the_current_ones(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    first = run_score(config)
    assert first["figures"]["overlap_with_previous"] is None

    again = run_score(tiny_config(tmp_path, "score.reasons=1"))

    assert again["id"] != first["id"]
    assert again["figures"]["overlap_with_previous"] == 1
    assert again["counts"]["compared_users"] == 8


@pytest.mark.usefixtures("scored_here")
def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "score.drop_seen=false")
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))

    result = run_score(config)

    assert result["counts"]["seen_items"] is result["figures"]["seen_items"] is None
    assert result["counts"]["full_lists"] == 8 and result["warnings"] == []


def test_a_network_without_finite_user_vectors_gives_fallback_lists_alone(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS)
    model_id = write_model(config, manifest)
    job = ScoringJob(tmp_path, manifest.id, model_id, "r", tmp_path, config.score)
    scorer = PartScorer(job)
    assert isinstance(scorer.maker.ranker, NetworkRanker)
    for weights in scorer.maker.ranker.scorer.model.encoder.parameters():
        weights.fill_(torch.nan)

    lists = scorer.maker.lists(ragged(HISTORIES))

    reasons = [FALLBACK_REASONS[code] for code in lists.why_fallback]
    diverged = "scores_not_finite"
    assert reasons == [
        diverged, diverged, "no_history", diverged, diverged, diverged,
        "history_unknown_to_model", diverged,
    ]  # fmt: skip
    assert lists.item_idx[0].tolist() == [9, 11, 12, 5]
    assert (lists.reason_idx < 0).all()
