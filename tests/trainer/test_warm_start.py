"""A network goes on from one of the day before: the training loop without Ray."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conf.contract import NUM_RESERVED, Bundle, Manifest
from conf.errors import HeadraceError
from conf.fingerprint import model_request
from conf.load import load_config
from conf.schema import Config
from conf.warm_start import with_start
from conf.workspace import commit, publish, read_manifest
from tests.trainer.small_parts import write_config, write_dataset
from trainer.bundle import OPTIMIZER_NAME, Trained, load_built, model_section, save_bundle
from trainer.checkpoint import load_checkpoint
from trainer.job import Cursor, Job, Learner, set_learning_rate
from trainer.loop import TASKS, _finish_epoch, train_epoch
from trainer.warm_start import require_fitting, take_up, write_start

OLD, NEW = 12, 2
NEW_ONE, NEW_TWO = OLD + NUM_RESERVED, OLD + NUM_RESERVED + 1
ROUND = [[2 + (user + step) % OLD for step in range(6)] for user in range(24)]
NEXT = [2 + (user + 6) % OLD for user in range(24)]
# The first new item comes between 2 and 3, and after 5; the second one between 13 and 2.
LATER = [*ROUND, [2, NEW_ONE, 3], [5, NEW_ONE], [13, NEW_TWO, 2], [13, NEW_TWO, 2]]
SETTINGS = (
    "train.batch_rows=8", "train.epochs=3", "train.optimizer.learning_rate=0.02",
    "train.optimizer.warmup_steps=0", "train.save_optimizer=true", "train.model.dropout=0.1",
    "train.warm_start.neighbour_distance=1", "train.shuffle_block_rows=10", "train.metric=hr@1",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    """Return a workspace with two datasets and a model of the first."""
    folder = tmp_path_factory.mktemp("warm")
    first = write_dataset(folder, ROUND, NEXT, NEXT, items=OLD)
    torch.set_num_threads(1)
    config = configured(folder)
    learner, _ = trained(job_of(config, first, folder / "work"))
    model = saved(config, first, learner)
    targets = [*NEXT, 3, 3, 3, 3]
    second = write_dataset(
        folder, LATER, targets, targets, items=OLD + NEW, name="later", base=first
    )
    return folder, second, model


def configured(workspace: Path, *overrides: str) -> Config:
    return load_config(write_config(workspace), [*SETTINGS, *overrides])


def saved(config: Config, manifest: Manifest, learner: Learner) -> str:
    section = model_section(config, manifest)
    trained = Trained(section, learner.best, {}, learner.best_state)
    model = save_bundle(config, manifest, model_request(config, manifest.id), trained)
    publish(Path(config.run.output), "models", model, manifest.logical_date)
    return model


def job_of(config: Config, manifest: Manifest, work: Path) -> Job:
    work.mkdir(exist_ok=True)
    dataset = Path(config.run.output) / "datasets" / manifest.id
    return Job(config, manifest, dataset, work, 0, 1, torch.device("cpu"), "train")


def trained(job: Job, most_epochs: int = 99) -> tuple[Learner, Cursor]:
    """Do what a worker does, Ray apart."""
    learner = TASKS["neural"].learner(job)
    state = load_checkpoint(job.work)
    cursor = learner.load(state) if state else Cursor()
    while not cursor.finished and cursor.epoch < most_epochs:
        train_epoch(job, learner, cursor)
        _finish_epoch(job, learner, cursor)
    return learner, cursor


def test_old_rows_stay_and_new_ones_begin_as_the_mean_of_their_neighbours(
    made: tuple[Path, Manifest, str], tmp_path: Path
) -> None:
    workspace, manifest, model = made
    config = with_start(configured(workspace, "train.warm_start.model=current"), manifest.id)
    assert config.train.warm_start.model == model
    require_fitting(config, manifest)

    write_start(config, manifest, tmp_path)
    learner = TASKS["neural"].learner(job_of(config, manifest, tmp_path))

    _, before = load_built(workspace, model, lambda _, weights: weights)
    now = dict(learner.model.named_parameters())
    table, old = now.pop("items.embedding.weight").detach(), before["items.embedding.weight"]
    assert all(torch.equal(weight, before[name]) for name, weight in now.items())
    assert torch.equal(table[: OLD + NUM_RESERVED], old)
    torch.testing.assert_close(table[NEW_ONE], (old[2] + old[3] + old[5]) / 3)
    torch.testing.assert_close(table[NEW_TWO], (old[13] + old[2]) / 2)
    state = learner.optimizer.state[learner.model.items.embedding.weight]  # type: ignore[index]
    assert state["step"] > 5 and state["exp_avg"].shape == table.shape
    assert state["exp_avg"][:NEW_ONE].any() and not state["exp_avg"][NEW_ONE:].any()


def test_a_model_is_another_where_it_began_elsewhere_and_run_again_it_is_done(
    made: tuple[Path, Manifest, str],
) -> None:
    workspace, manifest, model = made
    warm = with_start(configured(workspace, "train.warm_start.model=current"), manifest.id)
    other = configured(workspace, "train.warm_start.model=another")
    cold = configured(workspace)

    requests = {model_request(config, manifest.id) for config in (warm, other, cold)}

    assert len(requests) == 3
    # With a model of this dataset published, `current` means what that one went on from.
    learner = TASKS["neural"].learner(job_of(cold, manifest, workspace / "cold"))
    learner.keep_best()
    saved(warm, manifest, learner)
    assert with_start(configured(workspace, "train.warm_start.model=current"), manifest.id) == warm
    first = with_start(configured(workspace, "train.warm_start.model=current"), "small")
    assert first.train.warm_start.model != model  # of the same dataset, so no beginning for it


def test_an_interrupted_warm_start_ends_with_the_weights_of_a_whole_one(
    made: tuple[Path, Manifest, str], tmp_path: Path
) -> None:
    workspace, manifest, model = made
    config = configured(workspace, f"train.warm_start.model={model}")
    whole, cut = (job_of(config, manifest, tmp_path / name) for name in ("whole", "cut"))
    for job in (whole, cut):
        write_start(config, manifest, job.work)

    one, cursor = trained(whole)
    trained(cut, most_epochs=1)
    write_start(config, manifest, cut.work)
    two, again = trained(cut)

    assert again.curve[-1]["loss"] == cursor.curve[-1]["loss"] and len(again.curve) == 3
    assert all(torch.equal(weight, two.best[name]) for name, weight in one.best.items())
    assert one.best_state.keys() == two.best_state.keys() != set()
    cold, _ = trained(job_of(configured(workspace), manifest, tmp_path / "cold"))
    assert not torch.equal(cold.best["items.embedding.weight"], one.best["items.embedding.weight"])


def test_the_learning_rate_grows_over_the_steps_of_the_warm_start(
    made: tuple[Path, Manifest, str], tmp_path: Path
) -> None:
    workspace, manifest, model = made
    warm = configured(
        workspace, f"train.warm_start.model={model}", "train.warm_start.warmup_steps=4"
    )
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "base_lr": 1.0}], lr=1.0)
    rates = []
    for config in (warm, configured(workspace, "train.warm_start.warmup_steps=4")):
        set_learning_rate(job_of(config, manifest, tmp_path), optimizer, Cursor(step=1))
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.5, 1.0]


def test_without_a_saved_state_the_optimiser_begins_anew(
    made: tuple[Path, Manifest, str], tmp_path: Path
) -> None:
    workspace, manifest, model = made
    config = configured(
        workspace, f"train.warm_start.model={model}", "train.warm_start.keep_optimizer=false",
        "train.warm_start.new_items=mean", "train.model.embedding_std=1e-9",
    )  # fmt: skip
    write_start(config, manifest, tmp_path)
    job = job_of(config, manifest, tmp_path)
    learner = TASKS["neural"].learner(job)
    take_up(tmp_path, learner.model, learner.optimizer)

    table = learner.model.state_dict()["items.embedding.weight"]
    torch.testing.assert_close(table[NEW_ONE], table[NUM_RESERVED:NEW_ONE].mean(0))
    assert not learner.optimizer.state


def changed_bundle(workspace: Path, model: str, **update: Any) -> str:
    """Commit a copy of a model with something of its bundle changed."""
    bundle = read_manifest(workspace, "models", model, Bundle)
    folder = workspace / "models" / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(workspace / "models" / model, folder)
    commit(workspace, "models", bundle.model_copy(update={"id": "changed", **update}))
    return "changed"


@pytest.mark.parametrize(
    ("overrides", "update", "code", "problem"),
    [
        (["train.model.width=4"], {}, 6, r"another shape: train\.model\.width 8 there, 4 here"),
        (["train.model.encoder=gru"], {}, 6, r"train\.model\.encoder attention there, gru here"),
        (["train.optimizer.kind=sgd"], {}, 6, r"state of train\.optimizer\.kind=adamw, and sgd"),
        ([], {"algorithm": "ease"}, 6, r"is of train\.algorithm=ease, and a neural one"),
        ([], {"logical_date": "2026-02-01"}, 6, r"is of 2026-02-01, after 2026-01-31"),
        ([], {"vocabularies": "others"}, 6, r"item vocabulary \(14 numbers, others\) that the one"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    made: tuple[Path, Manifest, str],
    overrides: Sequence[str],
    update: dict[str, Any],
    code: int,
    problem: str,
) -> None:
    workspace, manifest, model = made
    if "vocabularies" in update:
        bundle = read_manifest(workspace, "models", model, Bundle)
        item = bundle.vocabularies["item"].model_copy(update={"fingerprint": "others"})
        update = {"vocabularies": {**bundle.vocabularies, "item": item}}
    name = changed_bundle(workspace, model, **update)
    config = configured(workspace, f"train.warm_start.model={name}", *overrides)

    with pytest.raises(HeadraceError, match=problem) as raised:
        require_fitting(config, manifest)

    assert raised.value.exit_code == code


def test_a_model_that_has_seen_what_is_held_out_is_refused(
    made: tuple[Path, Manifest, str],
) -> None:
    workspace, manifest, model = made
    config = read_manifest(workspace, "models", model, Bundle).config
    anew = changed_bundle(
        workspace, model, config={**config, "train": {**config["train"], "refit": "everything"}}
    )
    with pytest.raises(HeadraceError, match=r"trained anew with train\.refit=everything"):
        require_fitting(configured(workspace, f"train.warm_start.model={anew}"), manifest)

    etl = {**manifest.config["etl"], "split": {"kind": "random"}}
    drawn = manifest.model_copy(update={"config": {**manifest.config, "etl": etl}})
    with pytest.raises(HeadraceError, match=r"etl\.split\.kind='random' holds out here") as raised:
        require_fitting(configured(workspace, f"train.warm_start.model={model}"), drawn)
    assert raised.value.exit_code == 2

    with pytest.raises(HeadraceError, match=r"warm_start\.model=x is of networks"):
        configured(workspace, "train.algorithm=ease", "train.warm_start.model=x")
    with pytest.raises(HeadraceError, match="it is no committed version") as raised:
        require_fitting(configured(workspace, "train.warm_start.model=none"), manifest)
    assert raised.value.exit_code == 6


def test_the_state_is_part_of_the_bundle_where_it_is_asked_for(
    made: tuple[Path, Manifest, str], tmp_path: Path
) -> None:
    workspace, manifest, model = made
    bundle = read_manifest(workspace, "models", model, Bundle)
    assert [file.path for file in bundle.files["model"]] == [
        "weights.safetensors", OPTIMIZER_NAME, "metrics.json",
    ]  # fmt: skip
    plain = replace(job_of(configured(workspace, "train.save_optimizer=false"), manifest, tmp_path))
    assert trained(plain, most_epochs=1)[0].best_state == {}
