"""Validation parts that do not have `train.metric`: the newest weights are kept, and it is said."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conf.contract import Manifest
from conf.errors import InputError
from conf.settings.config import Config
from tests.trainer.impression_log import config_for, job_of, with_one_class, write_impressions
from trainer.choosing.trial import _validated
from trainer.ranking.calibration import fit_calibration
from trainer.ranking.train import require_sound
from trainer.training.learner import Cursor
from trainer.training.loop import _finish_epoch, train_epoch
from trainer.training.workers import Fitted, training_figures, without_figure

VALID = "valid_impressions"


def trained(config: Config, manifest: Manifest, folder: Path, work: Path) -> Fitted:
    torch.set_num_threads(1)
    job = job_of(config, manifest, folder, work)
    learner, cursor = job.task.learner(job), Cursor()
    while not cursor.finished:
        train_epoch(job, learner, cursor)
        _finish_epoch(job, learner, cursor)
    newest = learner.model.state_dict()
    assert all(bool((newest[name] == kept).all()) for name, kept in learner.best.items())
    return Fitted(learner.best, vars(cursor), {})


@pytest.mark.parametrize("metric", ["auc", "gauc"])
def test_one_class_in_validation_keeps_the_newest_weights(tmp_path: Path, metric: str) -> None:
    """With .5 for every epoch the first weights would be kept, and patience would end it."""
    config = config_for(tmp_path, {}, metric=metric, epochs=3, patience_epochs=1)
    folder = tmp_path / "datasets/impressions"
    manifest = with_one_class(folder, write_impressions(folder, config), 1.0)

    fitted = trained(config, manifest, folder, tmp_path / "work")

    figures = training_figures(config, fitted.cursor, 1.0, fitted.weights)
    assert figures["valid"] == {metric: None} and figures["best_epoch"] == 2
    assert [record[metric] for record in figures["epochs"]] == [None] * 3
    with pytest.raises(InputError, match=f"train.metric={metric} has no value in the validation"):
        _validated(config, manifest, fitted)
    assert "it needs" in without_figure(metric, manifest)


def test_a_part_without_impressions_is_refused_with_the_cause(tmp_path: Path) -> None:
    config = config_for(tmp_path, {})
    manifest = write_impressions(tmp_path / "datasets/impressions", config)
    files = {name: files for name, files in manifest.files.items() if name != VALID}
    less = manifest.model_copy(update={"files": files})

    with pytest.raises(InputError, match="no rows in valid_impressions: no user has the 3 events"):
        require_sound(config, less)
    with pytest.raises(InputError, match=r"no rows in train_impressions, so .*: there is no event"):
        require_sound(config, less.model_copy(update={"files": {**files, "train_impressions": ()}}))


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_calibration_on_one_class_is_certain_as_far_as_the_rows_allow(
    kind: str, label: float
) -> None:
    """Ten rows of one kind: Platt's target is 11 / 12, or 1 / 12."""
    for logits in (np.linspace(-3, 3, 10), np.full(10, 0.7)):
        fitted = fit_calibration(kind, logits, np.full(10, label), np.ones(10))
        found = fitted.probabilities(logits)
        assert found == pytest.approx(11 / 12 if label else 1 / 12, abs=1e-6)
