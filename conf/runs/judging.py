"""Measure the lists that a configuration makes on held-out events."""

from pathlib import Path

from conf.contract import MAIN
from conf.errors import ConfigError
from conf.privacy.fitting import require_protected
from conf.runs.by_name import call_stage
from conf.runs.candidates import chosen_models, default_lists
from conf.runs.chosen import MAKE_AGAIN, chosen_version
from conf.runs.inputs.list_files import list_files
from conf.runs.results import Result, manifest_of
from conf.runs.stages import run_evaluate
from conf.settings.config import Config

PARTS = ("valid", "test")


def run_measure(
    config: Config,
    logical_date: str | None = None,
    role: str = MAIN,
    part: str | None = None,
    lists: bool = False,
) -> Result:
    """Measure a model, or with `lists` the lists that are made with the models of all roles.

    Raises:
        ConfigError: When the options do not go together.
    """
    if part is not None and part not in PARTS:
        raise ConfigError(f"--part={part!r} is no held-out part; use {' or '.join(PARTS)}")
    if not lists:
        if part is not None:
            raise ConfigError(
                "--part is only for --lists; without it, models are measured on the test part, and "
                "metrics.json has their figure on the validation part"
            )
        return run_evaluate(config, logical_date, role)
    if role != MAIN:
        raise ConfigError(
            f"--role={role!r} is for one model, but --lists measures lists that are made with the "
            "models of all roles; leave one of them out"
        )
    return _measure_lists(config, logical_date, part or "test")


def _measure_lists(config: Config, logical_date: str | None, part: str) -> Result:
    left_out = [f"score.scenarios.{name}" for name in config.score.scenarios]
    config = default_lists(config)
    model = chosen_version(config, "models", logical_date)
    dataset = manifest_of(Path(config.run.output), "models", model)["dataset_id"]
    require_protected(config, "datasets", dataset, MAKE_AGAIN)
    models = chosen_models(config, model, logical_date)
    judged = call_stage(
        "serving.judging.judge",
        "run",
        config,
        dataset_id=dataset,
        model_id=model,
        models=models,
        files=list_files(config),
        part=part,
    )
    judged["not_measured"] = [*judged["not_measured"], *left_out]
    return {
        "stage": "evaluate",
        "status": "done",
        "id": model,
        "dataset": dataset,
        **({"models": models} if models else {}),
        "judged": judged,
    }
