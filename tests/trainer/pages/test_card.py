"""The model card: from figures and sample lists to a page, without Ray."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import TITLE, USER_ID, Manifest
from conf.errors import VersionError
from conf.pages.samples import samples_of
from conf.settings.load import load_config
from conf.workspace.parquet import describe_parquet
from tests.trainer.small_parts import write_config, write_dataset
from trainer.evaluation.figures import baselines_of
from trainer.evaluation.figures import test_figures as measure
from trainer.models.counting import fit_counting
from trainer.models.fit_source import FitSource
from trainer.models.scorer import Scorer
from trainer.pages.card import card, changed_settings
from trainer.pages.card_samples import UserSample, sample_users

ITEMS = 8
# After item n comes n + 1; the last user has six events, the others three.
TRAIN = [[2, 3], [4, 5], [2, 3, 4, 5, 6]]
VALID, TEST = [4, 6, 7], [5, 7, 9]
HOSTILE = "<script>alert('1')</script>\"&"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("card")
    return folder


@pytest.fixture(scope="module")
def manifest(workspace: Path) -> Manifest:
    """Write a dataset whose users and items are called what no page should believe."""
    made = write_dataset(workspace, TRAIN, VALID, TEST, items=ITEMS)
    folder = workspace / "datasets" / made.id
    titles = [f"{HOSTILE} {n}" if n % 2 else None for n in range(2, 2 + ITEMS)]
    files = dict(made.files)
    for part, name, values in (("items", TITLE, titles), ("users", USER_ID, ["a", HOSTILE, "c"])):
        path = folder / made.files[part][0].path
        table = pq.read_table(path)
        at = table.schema.get_field_index(name)
        pq.write_table(table.set_column(at, name, pa.array(values, pa.string())), path)
        files[part] = (describe_parquet(folder, path),)
    return made.model_copy(update={"files": files})


def scorer_of(workspace: Path, manifest: Manifest, name: str) -> Scorer:
    config = load_config(write_config(workspace))
    folder = workspace / "datasets" / manifest.id
    return fit_counting(name, FitSource(config.train, 1, folder, manifest))


@pytest.fixture(scope="module")
def samples(workspace: Path, manifest: Manifest) -> list[UserSample]:
    markov = scorer_of(workspace, manifest, "markov")
    return sample_users(workspace / "datasets" / manifest.id, manifest, markov, drop_seen=True)


def test_samples_are_a_user_of_each_bin_with_the_list_and_the_reason(
    samples: list[UserSample],
) -> None:
    short, longer = samples
    assert (short.user_id, short.activity) == ("a", "1-4")
    assert short.newest == ("i4", f"{HOSTILE} 3", "i2")  # an item without a title has its id
    first = short.rows[0]  # after 4 came 5, twice
    assert (first.item, first.was_next) == (f"{HOSTILE} 5", True)
    assert first.reasons == (("i4", 1.0),)
    assert (longer.user_id, longer.activity) == ("c", "5-9")
    # Training has the items 2 to 6, of which the first user has had three and the last one all.
    assert [row.item for row in short.rows] == [f"{HOSTILE} 5", "i6"] and longer.rows == ()


def test_popularity_has_no_reasons(workspace: Path, manifest: Manifest) -> None:
    popularity = scorer_of(workspace, manifest, "popularity")
    found = sample_users(workspace / "datasets" / manifest.id, manifest, popularity, drop_seen=True)
    assert all(row.reasons == () for user in found for row in user.rows)


def figures() -> dict[str, Any]:
    """Return what `metrics.json` tells of a network that was trained anew."""
    one = {"hr@10": {"value": 0.3, "low": 0.2, "high": 0.4},
           "ndcg@10": {"value": 0.2, "low": 0.1, "high": 0.3}}  # fmt: skip
    less = {name: {key: n / 4 for key, n in bounds.items()} for name, bounds in one.items()}
    segment = {"targets": 40, "model": one, "popularity": less}
    shares = {"head": 0.5, "mid": 0.25, "tail": 0.25, "cold": 0.0}
    own = {"coverage": 0.5, "gini": 0.25, "novelty": 7.5, "shares": shares}
    test = {"model": {"hr@10": 0.3, "ndcg@10": 0.2}, "popularity": {"hr@10": 0.1, "ndcg@10": 0.05}}
    return {
        "test": test, "test_users": 40, "scoring": {"flops_per_example": 123_456},
        "segments": {"all": {"all": segment}, "activity": {"1-4": segment},
                     "users": {"known": segment}, "popularity": {"head": segment, "cold": segment}},
        "lists": {"length": 10, "items": {"head": 2, "mid": 2, "tail": 3, "cold": 1}, "model": own,
                  "popularity": own},
        "epochs": [{"epoch": 0, "loss": 5.0, "rows": 3, "ndcg@10": 0.1},
                   {"epoch": 1, "loss": 4.0, "rows": 3, "ndcg@10": 0.25}],
        "best_epoch": 1, "training": {"parameters": 1_000, "seconds": 12.5,
                                      "peak_memory_bytes": 1 << 30},
        "refit": {"trained_on": "with_valid", "epochs": 2, "test": test},
    }  # fmt: skip


def page(workspace: Path, manifest: Manifest, metrics: dict[str, Any], *overrides: str,
         samples: list[UserSample]) -> str:  # fmt: skip
    train = load_config(write_config(workspace), overrides).train
    return card("small-1", train, manifest, metrics, samples).render()


def test_a_card_shows_its_figures_and_nothing_but_text_from_outside(
    workspace: Path, manifest: Manifest, samples: list[UserSample], tmp_path: Path
) -> None:
    html = page(workspace, manifest, figures(), samples=samples)

    sections = re.findall(r'<section id="([\w-]+)"', html)
    assert sections == ["quality", "weak-spots", "segments", "calibration", "long-tail",
                        "training", "data", "samples"]  # fmt: skip
    for words in (
        "0.2000 to 0.4000", "refitted", "trained again with more data (with_valid, 2 epochs)",
        "123,456", "1.0 GiB", "12.5", "1-4 events in the history",
        "training ended while validation was still improving",
        "there is nothing to calibrate", "leave_one_out", "train.model.width", "7.50",
    ):  # fmt: skip
        assert words in html, words
    assert "<script" not in html and html.count("&lt;script&gt;") > 3
    assert not re.search(r"https?:|//|@import|url\(", html) and "prefers-color-scheme" in html
    assert html == page(workspace, manifest, figures(), samples=samples)
    (tmp_path / "card.html").write_text(html)
    assert samples_of(tmp_path / "card.html", {"a", "c"}) == 2


def test_the_cuts_of_a_temporal_split_are_on_the_card(
    workspace: Path, manifest: Manifest, samples: list[UserSample]
) -> None:
    cuts = {"valid_from": "2026-03-08T00:00:00Z", "test_from": "2026-03-09T12:00:00Z"}
    html = page(workspace, manifest.model_copy(update={"cuts": cuts}), figures(), samples=samples)
    text = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    assert "validation part from 2026-03-08T00:00:00Z test part from 2026-03-09T12:00:00Z" in text
    assert "test part from" not in page(workspace, manifest, figures(), samples=samples)


def test_what_a_model_was_trained_on_is_not_told_as_what_comes_next(
    workspace: Path, manifest: Manifest, samples: list[UserSample]
) -> None:
    measured = page(workspace, manifest, figures(), "train.refit=with_valid", samples=samples)
    assert "taken next" in measured and "list as it is measured on the test part" in measured
    trained = page(workspace, manifest, figures(), "train.refit=everything", samples=samples)
    assert "taken next" not in trained and "measured on the test part" not in trained
    assert trained.count("because of") == measured.count("because of") == len(samples)


def test_a_test_part_without_targets_has_a_card_too(workspace: Path, manifest: Manifest) -> None:
    empty = manifest.model_copy(update={"files": {**manifest.files, "test": ()}})
    config = load_config(write_config(workspace), ["train.baselines=[popularity]"])
    markov = scorer_of(workspace, manifest, "markov")
    metrics = measure(config, empty, markov, baselines_of(config, empty, markov))
    assert metrics["test_users"] == 0 and metrics["test"]["model"]["ndcg@10"] is None
    assert metrics["segments"] == {"all": {}, "activity": {}, "users": {}, "popularity": {}}
    html = page(workspace, empty, metrics, samples=[])
    assert 'id="segments"' not in html and 'id="quality"' in html
    assert "The test part has no targets, so there are no figures." in html
    assert "None" not in html and "nan" not in html
    some = {**figures(), "segments": {**figures()["segments"], "activity": {}}}
    html = page(workspace, manifest, some, samples=[])
    assert "By known and new users" in html and "By events in the history" not in html


def test_a_blends_network_has_its_curve_on_the_card(workspace: Path, manifest: Manifest) -> None:
    told = figures()
    own = {name: told.pop(name) for name in ("epochs", "best_epoch")}
    told["members"] = {"markov": {"training": {}}, "neural": own}
    html = page(workspace, manifest, told, samples=[])
    assert "Loss by epoch" in html
    assert "training ended while validation was still improving" in html


def test_a_ranking_models_card_shows_what_was_said_beside_what_was_so(
    workspace: Path, manifest: Manifest
) -> None:
    loss = {"log_loss": {"value": 0.5, "low": 0.4, "high": 0.6}}
    bins = [{"said": 0.1, "was": 0.2, "share": 0.75}, {"said": 0.9, "was": 0.8, "share": 0.25}]
    metrics = {
        "test": {"model": {"auc": 0.9, "log_loss": 0.5, "ece": 0.1}}, "test_rows": 400,
        "segments": {"all": {"all": {"targets": 400, "model": loss}},
                     "users": {"new": {"targets": 400, "model": loss}}},
        "calibration": {"liked": bins},
    }  # fmt: skip
    html = page(workspace, manifest, metrics, "train.algorithm=ranking", "train.metric=auc",
                "etl.impressions={labels: {liked: [view]}}", samples=[])  # fmt: skip
    assert "Reliability of liked" in html and 'class="even"' in html and "75.0%" in html
    assert "there are no figures of lists" in html and 'id="long-tail"' not in html
    assert "predicted probabilities differ from observed rates" in html


def test_settings_are_told_where_they_are_no_defaults(workspace: Path) -> None:
    train = load_config(write_config(workspace), ["train.loss.kind=bpr"]).train
    found = dict(changed_settings(train))
    assert found["train.algorithm"] == '"neural"' and found["train.loss.kind"] == '"bpr"'
    assert found["train.model.history_length"] == "6" and "train.optimizer.kind" not in found


def test_a_damaged_file_of_titles_is_told_with_its_name(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    markov = scorer_of(tmp_path, made, "markov")
    path = tmp_path / "datasets" / made.id / made.files["items"][0].path
    path.write_bytes(b"x" * path.stat().st_size)  # of the size that the manifest says
    for work in (
        lambda: sample_users(path.parents[1], made, markov, drop_seen=True),
        lambda: scorer_of(tmp_path, made, "popularity"),
    ):
        with pytest.raises(VersionError, match=r"items/part-00000\.parquet is damaged: .* again"):
            work()
