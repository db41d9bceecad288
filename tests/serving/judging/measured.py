"""Measure lists in this process, with counting models that are fitted and committed at once."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conf.contract import MAIN, Manifest
from conf.settings.config import Config
from conf.workspace.pointers import publish
from serving.judging.judge import prepared, result_of
from serving.judging.moment import Part
from serving.judging.work import judge_groups
from tests.trainer.small_parts import DAY
from trainer.evaluation.figures import source_of
from trainer.models.bundle import Trained, save_bundle
from trainer.models.counting import fit_counting, section_of

NO_MODELS: Mapping[str, str] = MappingProxyType({})


def with_model(config: Config, manifest: Manifest, trained_on: str | None = None) -> str:
    """Fit `train.algorithm` to the training part, publish it as the main model; return its id.

    `trained_on` is the dataset that the model's bundle names in place of its own.
    """
    name = config.train.algorithm
    model = fit_counting(name, source_of(config, manifest))
    trained = Trained(section_of(name, config.train), model.weights(), {})
    named = manifest.model_copy(update={"id": trained_on or manifest.id})
    version = save_bundle(config, named, name[0] * 64, trained)
    publish(Path(config.run.output), "models", version, DAY, role=MAIN)
    return version


def measured(
    config: Config,
    manifest: Manifest,
    model_id: str,
    models: Mapping[str, str] = NO_MODELS,
    part: Part = "test",
) -> dict[str, Any]:
    """Return the figures of the lists."""
    asked = prepared(config, manifest.id, model_id, models, {}, part)
    found = judge_groups(asked.job, asked.groups)
    return result_of(config, asked, found)
