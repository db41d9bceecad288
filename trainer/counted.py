"""Fit and measure a model that counts."""

import time
from pathlib import Path

import torch

from conf.contract import Manifest
from conf.schema import Config
from trainer.bundle import Trained
from trainer.counting import fit_counting, section_of
from trainer.efficiency import num_parameters, peak_memory_bytes
from trainer.evaluate import source_of, test_figures, validation_figure


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the model that `train.algorithm` names, fitted to the training part.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Not used: there is nothing to go on from.
    """
    name, started = config.train.algorithm, time.monotonic()
    model = fit_counting(name, source_of(config, manifest))
    seconds = time.monotonic() - started
    weights, memory = model.weights(), peak_memory_bytes(torch.device("cpu"))
    metrics = {
        **test_figures(config, manifest, model),
        "valid": validation_figure(config, manifest, model),
        "training": {
            "seconds": round(seconds, 1),
            "parameters": num_parameters(weights),
            "peak_memory_bytes": memory,
        },
    }
    return Trained(section_of(name, config.train), weights, metrics)
