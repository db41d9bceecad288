"""Kept runs as tables in Markdown: mean and spread over the seeds, baselines, published figures."""

from collections.abc import Sequence
from statistics import mean, stdev

from tests.bench.quality.kept_runs import OURS, Figures, Run
from tests.bench.quality.studies import STUDIES, Study

HEADLINE = "headrace"
_TRAINING = "training part"
_REFITTED = "training and validation part"


def tables(runs: Sequence[Run]) -> str:
    """Return a table for each study with runs, in the order of the studies."""
    by_study = {study.name: [run for run in runs if run.study == study.name] for study in STUDIES}
    made = [table(study, by_study[study.name]) for study in STUDIES if by_study[study.name]]
    return "\n\n".join(made) if made else "No run is kept yet."


def table(study: Study, runs: Sequence[Run]) -> str:
    """Return one study's table: the model, its baselines, and what others have published.

    The baselines' figures are those of the same runs. A figure of several seeds stands with its
    standard deviation over them.
    """
    rows = [_row(HEADLINE, _TRAINING, [run.test[OURS] for run in runs], study)]
    if refitted := [run.refitted for run in runs if run.refitted]:
        rows.append(_row(HEADLINE, _REFITTED, refitted, study))
    for name in dict.fromkeys(name for run in runs for name in run.test if name != OURS):
        figures = [run.test[name] for run in runs if name in run.test]
        shown = name.replace(f"{OURS}, ", f"{HEADLINE}, ")
        rows.append(_row(shown, _TRAINING, figures, study))
    rows += [
        (one.model, one.source, *(_number(value) for value in one.figures), "")
        for one in study.published
    ]
    title = (study.name, *study.changes)
    head = ("model", "fitted to; or source", *(_shown(name) for name in study.figures), "seeds")
    lines = [head, ("---",) * len(head), *rows]
    body = "\n".join(f"| {' | '.join(row)} |" for row in lines)
    return f"**{', '.join(title)}** ({_cost(runs)})\n\n{body}"


def _row(name: str, fitted_to: str, figures: Sequence[Figures], study: Study) -> tuple[str, ...]:
    values = [[found[figure] for found in figures] for figure in study.figures]
    return (name, fitted_to, *(_spread(of_seeds) for of_seeds in values), str(len(figures)))


def _spread(values: Sequence[float]) -> str:
    """Return the mean, and the standard deviation of several that differ."""
    if len(values) < 2 or max(values) == min(values):
        return _number(mean(values))
    return f"{_number(mean(values))} ± {_number(stdev(values))}"


def _number(value: float) -> str:
    return f"{value:.4f}".lstrip("0") if 0 <= value < 1 else f"{value:.4f}"


def _shown(name: str) -> str:
    return {"auc": "AUC", "log_loss": "log loss"}.get(name, name.upper())


def _cost(runs: Sequence[Run]) -> str:
    """Return the epochs and seconds that a training took, and on what."""
    parts = []
    epochs = [run.epochs for run in runs if run.epochs]
    if epochs:
        parts.append(f"{_range(epochs)} epochs")
    seconds = [run.training_seconds for run in runs if run.training_seconds]
    if seconds:
        parts.append(f"{_range([round(taken) for taken in seconds])} s of training")
    if len({run.configuration for run in runs}) > 1:
        parts.append("of DIFFERENT configurations")
    machines = dict.fromkeys(run.machine for run in runs)
    return "; ".join([*parts, *machines])


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least} to {most}"
