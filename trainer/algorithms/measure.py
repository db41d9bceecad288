"""Measure a committed model again, with its baselines, on the test part of its dataset."""

from pathlib import Path
from typing import Any

from conf.contract import Bundle, Manifest
from conf.settings.config import Config
from conf.workspace.versions import read_manifest
from trainer.cluster.ray_session import ray_session, require_room
from trainer.evaluation.efficiency import training_cost
from trainer.evaluation.figures import baselines_of, test_figures
from trainer.models.bundle import load_scorer, require_same_vocabulary, require_unseen
from trainer.ranking import figures as ranking_figures
from trainer.training.progress import signs_of_life


def run(config: Config, *, model_id: str) -> dict[str, Any]:
    """Measure a committed model and the baselines on the test part of its dataset."""
    workspace = Path(config.run.output)
    if read_manifest(workspace, "models", model_id, Bundle).algorithm == "ranking":
        return ranking_figures.run(config, model_id=model_id)
    bundle, scorer = load_scorer(workspace, model_id)
    manifest = read_manifest(workspace, "datasets", bundle.dataset_id, Manifest)
    require_same_vocabulary(bundle, manifest)
    require_unseen(bundle, "test")
    cost = training_cost(workspace / "models" / model_id)
    with ray_session(config), signs_of_life("evaluate"):
        require_room(config)
        baselines = baselines_of(config, manifest, scorer)
        return {**test_figures(config, manifest, scorer, baselines), "training": cost}
