"""Runs that help to choose a model: advice, model card, comparison, search for settings."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.contract import MAIN
from conf.errors import ConfigError, HeadraceError
from conf.privacy.fitting import require_protected
from conf.privacy.learned import warn_of_erased
from conf.runs.by_name import call_stage
from conf.runs.chosen import chosen_version, protected_dataset
from conf.runs.inputs.request_keys import model_request, search_request
from conf.runs.lineage import with_start
from conf.runs.results import Result
from conf.runs.roles import config_of
from conf.runs.stages import locked, make_model
from conf.settings.choosing import nested
from conf.settings.config import Config
from conf.settings.rules.uses import warn_of_settings
from conf.settings.variants import comparable, with_changes
from conf.workspace.versions import find_version

log = logging.getLogger(__name__)


def run_advise(config: Config) -> Result:
    """Return which model to start from for the current dataset on this machine, and why."""
    dataset = chosen_version(config, "datasets", None)
    advice: Result = call_stage("trainer.choosing.advise", "run", config, dataset_id=dataset)
    return {"stage": "advise", "id": dataset, **advice}


def run_compare(config: Config) -> Result:
    """Train the missing models of `compare.models`, and measure all on the current dataset.

    The result is also written as an HTML page.
    """
    if not config.compare.models:
        raise ConfigError(
            "compare.models is empty; name the models, each with its changes to the section train, "
            "such as {counted: {algorithm: ease}, network: {}}"
        )
    warn_of_settings(config)
    models = {name: _model(config, name) for name in config.compare.models}
    versions = {}
    with locked(config):
        dataset = protected_dataset(config)
        for name, model in models.items():
            with _said_of(f"compare.models.{name}"):
                versions[name] = _trained(with_start(model, dataset), dataset)
            log.info("compare: %s is model %s", name, versions[name])
    compared: Result = call_stage(
        "trainer.choosing.compare", "run", config, dataset_id=dataset, versions=versions
    )
    result = {"stage": "compare", "dataset": dataset, **compared}
    page = call_stage(
        "trainer.pages.comparison", "write_comparison", Path(config.run.output), result
    )
    return {**result, "page": str(page)}


def run_card(config: Config, output: Path, role: str = MAIN) -> Result:
    """Write the card of a role's current model to a file."""
    config = config_of(config, role)
    model = chosen_version(config, "models", None, role)
    require_protected(config, "models", model, "run headrace run for a model of labels")
    written: Result = call_stage("trainer.pages.card", "run", config, model_id=model, output=output)
    return {"stage": "card", "status": "done", "id": model, **written}


def run_tune(config: Config) -> Result:
    """Search `tune.space` for the settings with the best validation figure; continue if stopped."""
    if not config.tune.space:
        raise ConfigError(
            "tune.space is empty; name keys below train and the values to try for each, such as "
            "{optimizer.learning_rate: {low: 0.0001, high: 0.1, log: true}}"
        )
    if config.train.algorithm == "auto" and "algorithm" not in config.tune.space:
        raise ConfigError(
            "train.algorithm is 'auto', which chooses among models, but tune searches the settings "
            "of one; set train.algorithm to it (headrace status shows what auto chose), or add "
            "algorithm to tune.space"
        )
    warn_of_settings(config)
    with locked(config):
        dataset = protected_dataset(config)
        config = with_start(config, dataset)
        found: Result = call_stage(
            "trainer.choosing.tune",
            "run",
            config,
            dataset_id=dataset,
            request=search_request(config, dataset),
        )
    best = {key.removeprefix("train."): value for key, value in found["best"]["settings"].items()}
    fitting = comparable(config, nested(best))
    misfits = [name for name in config.compare.models if name not in fitting]
    return {"stage": "tune", "dataset": dataset, **found, "compare_misfits": misfits}


def _model(config: Config, name: str) -> Config:
    """Return the configuration of a model of `compare.models`.

    Raises:
        ConfigError: When it breaks a rule, or the model does not score the catalogue.
    """
    where = f"compare.models.{name}"
    changed = with_changes(config, where, config.compare.models[name])
    if changed.train.algorithm == "ranking":
        raise ConfigError(f"{where}: a ranking model scores no catalogue; compare models that do")
    if changed.train.refit == "everything":
        raise ConfigError(
            f"{where}: train.refit=everything trains on the events that measure it; use none"
        )
    return changed


@contextmanager
def _said_of(where: str) -> Iterator[None]:
    """Put the name of the model before the message of an error in the block."""
    try:
        yield
    except HeadraceError as error:
        raise type(error)(f"{where}: {error}") from error


def _trained(config: Config, dataset_id: str) -> str:
    """Return the model of a configuration; train it if it does not exist; do not publish it."""
    request = model_request(config, dataset_id)
    version = find_version(Path(config.run.output), "models", request)
    if version is not None:
        warn_of_erased(Path(config.run.output), version, "compare")
        return version
    return make_model(config, dataset_id, request)
