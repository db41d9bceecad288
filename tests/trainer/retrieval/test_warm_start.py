"""A network goes on from one of the day before: the training loop without Ray."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conf.contract import NUM_RESERVED, Bundle, Manifest
from conf.runs.inputs.request_keys import model_request
from conf.runs.lineage import with_start
from conf.workspace.versions import read_manifest
from tests.trainer.deliveries import (
    NEW_ONE,
    NEW_TWO,
    OLD,
    configured,
    job_of,
    make_deliveries,
    saved,
    trained,
)
from trainer.models.bundle import OPTIMIZER_NAME, load_built
from trainer.retrieval.task import RetrievalTask
from trainer.retrieval.warm_start import require_fitting, take_up, write_start
from trainer.training.job import set_learning_rate
from trainer.training.learner import Cursor


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    return make_deliveries(tmp_path_factory.mktemp("warm"))


def test_old_rows_stay_and_new_ones_begin_as_the_mean_of_their_neighbours(
    made: tuple[Path, Manifest, str], tmp_path: Path
) -> None:
    workspace, manifest, model = made
    config = with_start(configured(workspace, "train.warm_start.model=current"), manifest.id)
    assert config.train.warm_start.model == model
    require_fitting(config, manifest)

    write_start(config, manifest, tmp_path)
    learner = RetrievalTask().learner(job_of(config, manifest, tmp_path))

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
    learner = RetrievalTask().learner(job_of(cold, manifest, workspace / "cold"))
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
    learner = RetrievalTask().learner(job)
    take_up(tmp_path, learner.model, learner.optimizer)

    table = learner.model.state_dict()["items.embedding.weight"]
    torch.testing.assert_close(table[NEW_ONE], table[NUM_RESERVED:NEW_ONE].mean(0))
    assert not learner.optimizer.state


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
