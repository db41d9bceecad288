"""Features of past events: from the log into histories, and from there into what networks take."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conf.contract import Column, Manifest
from conf.erasure import erase
from conf.errors import VersionError
from conf.settings.config import Config
from conf.workspace.json_files import read_json, write_json
from serving.scoring.worker import PartScorer, ScoringJob
from tests.etl.dataset.test_extend import KEY, START, day_run
from tests.etl.making import DAY, config_for, read_part, write_lines
from tests.trainer.deliveries import job_of
from trainer.data.batches import histories_of, train_batch
from trainer.data.columns import Columns, Ragged, concatenate
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import COLUMNS
from trainer.evaluation.held_out import columns_of
from trainer.models.bundle import (
    Trained,
    build_model,
    load_bundle,
    model_section,
    require_same_vocabulary,
    save_bundle,
)
from trainer.models.scorer import ModelScorer
from trainer.retrieval.task import RefitTask, RetrievalTask
from trainer.retrieval.warm_start import require_fitting, write_start

pytestmark = pytest.mark.usefixtures("spark")
HEADER = "user_id,item_id,time,gadget,price"
DEVICE, PRICE = "history_context_device", "history_context_price"
# Of u the first four events are for training, one each for validation and test; a=2, b=3, c=4.
LINES = ("u,a,0,mobile,10", "u,b,1,mobile,", "u,c,2,desktop,20", "u,a,3,,30",
         "u,b,4,watch,40", "u,c,5,mobile,50", "v,a,0,kiosk,60")  # fmt: skip
# By frequency in the training part, then by name: mobile=2, desktop=3, kiosk=4; 1 is unknown.
DEVICES = [[2], [2], [3], [0], [1], [2]]
PRICES = [[10.0, 1.0], [0.0, 0.0], [20.0, 1.0], [30.0, 1.0], [40.0, 1.0], [50.0, 1.0]]


def write_log(path: Path, *lines: str) -> None:
    rows = (line.split(",") for line in lines)
    text = (f"{user},{item},{START + int(at)},{device},{price}"
            for user, item, at, device, price in rows)  # fmt: skip
    write_lines(path, HEADER, *text)


def config_of(root: Path, **model: Any) -> Config:
    encodings = {"device": {"kind": "categorical"}, "price": {"kind": "numeric", "scale": "none"}}
    return config_for(
        root,
        events={"fields": {"device": {"column": "gadget"}, "price": {"type": "number"}}},
        privacy={"key": KEY},
        etl={
            "vocabulary": "extend", "window_length": 2, "history_features": ["device", "price"],
            "features": {"events": {"encodings": encodings}},
        },
        train={"model": {"width": 8, "event_features": "all", **model}, "save_optimizer": True},
    )  # fmt: skip


def write_model(config: Config, manifest: Manifest) -> str:
    torch.manual_seed(3)
    section = model_section(config, manifest)
    model = build_model({**section, "embedding_std": 1.0}, manifest.vocabularies["item"].size)
    state = {f"{name}/exp_avg": torch.ones_like(p) for name, p in model.named_parameters()}
    trained = Trained(section, model.state_dict(), {}, state)
    return save_bundle(config, manifest, "m" * 64, trained)


class First(NamedTuple):
    root: Path
    manifest: Manifest
    folder: Path
    model_id: str
    """A model of the dataset with weights at random."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    root = tmp_path_factory.mktemp("context")
    write_log(root / "1.csv", *LINES)
    config = config_of(root)
    manifest, folder = day_run(config)
    return First(root, manifest, folder, write_model(config, manifest))


def test_each_part_tells_the_features_of_the_events_that_it_has(first: First) -> None:
    _, manifest, folder, _ = first
    devices, prices = [code for (code,) in DEVICES], [price for price, _ in PRICES]
    there = [int(mask) for _, mask in PRICES]

    user = next(row["user_idx"] for row in read_part(folder, "users") if row["user_id"] == "u")
    for part, spans in {
        "histories": [(0, 6)], "valid": [(0, 4)], "test": [(0, 5)], "train": [(0, 2), (1, 4)],
    }.items():  # fmt: skip
        rows = [row for row in read_part(folder, part) if row["user_idx"] == user]
        rows.sort(key=lambda row: row["history_time"])
        assert [row["history_time"] for row in rows] == [
            [(START + at) * 1_000_000 for at in range(*span)] for span in spans
        ]
        for name, values in ((DEVICE, devices), (PRICE, prices), (f"{PRICE}_present", there)):
            assert [row[name] for row in rows] == [values[slice(*span)] for span in spans], part

        columns = {column.name: column for column in manifest.columns[part]}
        assert columns[DEVICE] == Column(
            name=DEVICE, kind="sequence", dtype="list<int32>", cardinality=5,
            reserved_ids={"padding": 0, "unknown": 1},
        )  # fmt: skip
        assert (columns[PRICE].dtype, columns[PRICE].cardinality) == ("list<float>", None)

    kinds = [(feature.name, feature.kind) for feature in manifest.features["histories"]]
    assert kinds == [(DEVICE, "categorical"), (PRICE, "numeric")]
    known = json.loads((folder / "encoders/histories.json").read_text())
    assert known == {"device": {"values": ["mobile", "desktop", "kiosk"]}, "price": {}}
    assert manifest.vocabularies[DEVICE].size == 5


def read(folder: Path, manifest: Manifest, part: str, columns: Sequence[str]) -> Columns:
    groups = manifest.row_groups(part)
    return concatenate([found for _, found in read_row_groups(folder, groups, columns)])


def served(config: Config, manifest: Manifest, model: str, folder: Path) -> PartScorer:
    score = config.score.model_copy(update={"list_length": 3, "drop_seen": False})
    job = ScoringJob(Path(config.run.output), manifest.id, model, "r" * 64, folder, score)
    return PartScorer(job)


def history_of_u(scoring: PartScorer) -> tuple[Ragged, np.ndarray]:
    """Return the histories of the part that u is in, as they are scored, and u's row."""
    for part in range(len(scoring.loaded.manifest.row_groups("histories"))):
        users, histories = scoring.read(part)
        ids = users["user_id"].to_pylist()
        if "u" in ids:
            return histories, np.array([ids.index("u")])
    raise AssertionError("u is nowhere")


def test_training_refit_evaluation_and_scoring_take_the_same(first: First, tmp_path: Path) -> None:
    root, manifest, folder, model_id = first
    config = config_of(root)
    _, model = load_bundle(Path(config.run.output), model_id)
    scorer = ModelScorer(model)

    histories, u = history_of_u(served(config, manifest, model_id, tmp_path))
    held_out = histories_of(read(folder, manifest, "test", columns_of(manifest, "test")))
    for batch, events in ((scorer.batch(histories, u), 6),
                          (scorer.batch(held_out, np.array([0])), 5)):  # fmt: skip
        assert batch.feature_idx is not None and batch.feature_numbers is not None
        assert batch.feature_idx.tolist() == [DEVICES[:events]]
        assert batch.feature_numbers.tolist() == [PRICES[:events]]

    job, task = job_of(config, manifest, tmp_path), RetrievalTask()
    windows = read(folder, manifest, "train", task.columns(job))
    again = config.model_copy(update={"train": config.train.model_copy(
        update={"refit": "with_valid"})})  # fmt: skip
    refit = RefitTask()
    job = job_of(again, manifest, tmp_path)
    assert set(COLUMNS) < set(refit.columns(job))
    renewed = refit.prepared(job, read(folder, manifest, "histories", refit.columns(job)))
    # Trained on are pairs of neighbours; the last event of a window is a target alone.
    for columns, spans in ((windows, [(0, 1), (1, 3)]), (renewed, [(0, 2), (2, 4)])):
        rows = np.arange(task.num_rows(columns))
        made = train_batch(columns, rows, 2, task.fields(job))
        assert made.feature_idx is not None and made.feature_numbers is not None
        found = [
            (codes[:count], numbers[:count])
            for codes, numbers, count in zip(
                made.feature_idx.tolist(), made.feature_numbers.tolist(),
                made.histories.lengths.tolist(), strict=True,
            )
        ]  # fmt: skip
        expected = [(DEVICES[slice(*span)], PRICES[slice(*span)]) for span in spans]
        assert sorted(found) == sorted(expected)


@pytest.mark.slow
def test_a_grown_vocabulary_keeps_its_numbers_and_a_model_its_rows(
    first: First, tmp_path: Path
) -> None:
    root = tmp_path / "later"
    shutil.copytree(first.root, root)
    config, workspace = config_of(root), root / "workspace"
    before, model_id = first.manifest, first.model_id
    folder = workspace / "datasets" / before.id
    _, old_model = load_bundle(workspace, model_id)
    gone = write_lines(tmp_path / "gone.txt", "v")
    assert erase.run(config, users=gone)["removed"][f"datasets/{before.id}"]["encoders"] == 1
    known = json.loads((folder / "encoders/histories.json").read_text())
    assert known["device"] == {"values": ["mobile", "desktop", None]}  # the kiosk was v's alone

    # The watch is in the training part twice now; with the kiosk it gets a number behind the rest.
    write_log(root / "2.csv", f"u,a,{DAY},watch,1", f"u,b,{DAY + 1},mobile,1",
              f"u,c,{DAY + 2},kiosk,1", f"w,a,{DAY},kiosk,1")  # fmt: skip
    after, folder = day_run(config)
    known = json.loads((folder / "encoders/histories.json").read_text())
    assert known["device"] == {"values": ["mobile", "desktop", None, "watch", "kiosk"]}
    rows = {len(row[DEVICE]): row[DEVICE] for row in read_part(folder, "histories")}
    assert rows == {9: [2, 2, 3, 0, 5, 2, 5, 2, 6], 1: [6]}
    ours, theirs = after.vocabularies, before.vocabularies
    assert ours[DEVICE].size == 7 and ours[DEVICE].goes_on_from(theirs[DEVICE])
    assert ours[PRICE] == theirs[PRICE]

    # To a model of the day before the new values are unknown ones.
    scoring = served(config, after, model_id, tmp_path)
    histories, u = history_of_u(scoring)
    codes = ModelScorer(old_model).batch(histories, u).feature_idx
    assert codes is not None
    assert codes[0, :, 0].tolist() == [2, 2, 3, 0, 1, 2, 1, 2, 1]
    assert (scoring.maker.lists(histories).item_idx[u] >= 2).all()

    warm = config.train.warm_start.model_copy(update={"model": model_id})
    later = config.model_copy(update={"train": config.train.model_copy(
        update={"warm_start": warm})})  # fmt: skip
    with pytest.raises(VersionError, match="learned from users who were erased since"):
        require_fitting(later, after)
    bundle = workspace / "models" / model_id / "bundle.json"
    write_json(bundle, {**read_json(bundle), "learned_from_erased": "no"})  # as if v were not in it
    require_fitting(later, after)
    write_start(later, after, tmp_path)
    start = load_file(tmp_path / "start.safetensors")
    name = "context.features.embeddings.0_embedding.weight"
    old, new = old_model.state_dict()[name], start[f"model:{name}"]
    assert torch.equal(new[:5], old) and torch.equal(new[5:], old[[1, 1]])
    state = start[f"optimizer:{name}/exp_avg"]
    assert state.shape == new.shape and state[:5].all() and not state[5:].any()

    problem = "the event features device, price, but train.model.event_features selects price"
    with pytest.raises(VersionError, match=problem):
        model = later.train.model.model_copy(update={"event_features": ("price",)})
        other = later.model_copy(update={"train": later.train.model_copy(update={"model": model})})
        require_fitting(other, after)
    bundle, _ = load_bundle(workspace, model_id)
    fresh = {**ours, DEVICE: ours[DEVICE].model_copy(update={"earlier": ()})}
    foreign = after.model_copy(update={"vocabularies": fresh})
    with pytest.raises(VersionError, match=r"the event features device, which dataset .* lacks or"):
        require_same_vocabulary(bundle, foreign)
    with pytest.raises(VersionError, match="event features device, which the dataset encodes diff"):
        require_fitting(later, foreign)
