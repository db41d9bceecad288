"""Answer a file: predictions of its pairs, or lists for its users; nothing is published."""

from pathlib import Path

from conf.contract import MAIN, RANKER
from conf.errors import ConfigError
from conf.privacy.fitting import require_protected
from conf.privacy.learned import warn_of_erased
from conf.runs.by_name import call_stage
from conf.runs.candidates import chosen_models, default_lists, warn_of_erased_in
from conf.runs.chosen import MAKE_AGAIN, chosen_version, require_publishable
from conf.runs.inputs.list_files import list_files
from conf.runs.lineage import shown_lists
from conf.runs.results import Result, manifest_of
from conf.settings.config import Config


def run_predict(
    config: Config, source: Path, target: Path, logical_date: str | None = None
) -> Result:
    """Write the predictions of a file's pairs: with the ranker, or the main model if it ranks.

    Raises:
        ConfigError: When there is no ranking model.
    """
    workspace, role = Path(config.run.output), MAIN if config.ranker is None else RANKER
    dataset = chosen_version(config, "datasets", logical_date)
    model = chosen_version(config, "models", logical_date, role)
    algorithm = manifest_of(workspace, "models", model).get("algorithm")
    if algorithm != "ranking":
        raise ConfigError(
            f"model {model} is {algorithm!r}, which predicts no single pairs; set the section "
            "ranker, or train.algorithm=ranking, and run headrace train"
        )
    require_protected(config, "datasets", dataset, MAKE_AGAIN)
    warn_of_erased(workspace, model, "predict")
    given = {"dataset_id": dataset, "model_id": model, "source": source, "target": target}
    found: Result = call_stage("trainer.prediction.predict", "run", config, **given)
    return {"stage": "predict", "status": "done", "model": model, **found, "output": str(target)}


def run_visitors(
    config: Config,
    events: Path | None,
    users: Path | None,
    target: Path,
    logical_date: str | None = None,
) -> Result:
    """Write lists for the users of a file of events, of a file of users, or of both.

    Raises:
        ConfigError: When an option or the configuration is wrong.
        InputError: When a file is wrong, or names nobody.
    """
    config = default_lists(config)
    dataset = chosen_version(config, "datasets", logical_date)
    model = chosen_version(config, "models", logical_date)
    require_publishable(config, model)
    require_protected(config, "datasets", dataset, MAKE_AGAIN)
    models = chosen_models(config, model, logical_date)
    warn_of_erased_in(config, {MAIN: model, **models})
    found: Result = call_stage(
        "serving.visitors.pipeline",
        "run",
        config,
        dataset_id=dataset,
        model_id=model,
        sources=(events, users, target),
        models=models,
        files=list_files(config),
        shown=shown_lists(config, dataset),
    )
    made_with = {"dataset": dataset, "model": model}
    return {"stage": "score", "status": "done", **made_with, **found, "output": str(target)}
