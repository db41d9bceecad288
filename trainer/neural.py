"""Train and measure a network that scores the whole catalogue."""

import time
from pathlib import Path

from conf.contract import Manifest, catalogue_size
from conf.errors import InputError
from conf.schema import Config
from trainer.bundle import Trained, build_model, model_section
from trainer.evaluate import test_figures
from trainer.workers import fit, require_trainable, training_figures


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the best weights and their figures.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints; an interrupted run goes on from what lies there.
    """
    require_trainable(config, manifest, "train")
    if not manifest.row_groups("valid"):
        raise InputError(
            f"dataset {manifest.id} has no validation part: no user has enough events; "
            "lower etl.min_events_per_user or give a longer log"
        )
    started = time.monotonic()
    weights, cursor = fit(config, manifest, work)
    seconds = time.monotonic() - started
    section = model_section(config, manifest)
    model = build_model(section, catalogue_size(manifest))
    model.load_state_dict(weights)
    measured = test_figures(config, manifest, model.eval())
    metrics = {**measured, **training_figures(config, cursor, seconds, weights)}
    return Trained(section, weights, metrics)
