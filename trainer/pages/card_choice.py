"""The sections of a model card that say why this model: the choice, and the gate on quality."""

from typing import Any

from conf.pages.blocks import Section, Table
from conf.pages.text import figure, interval, number

Metrics = dict[str, Any]
_VERDICTS = {
    "passed": "The model is at least as good as each baseline.",
    "lower": "A baseline has a higher figure, but the lead is within the noise.",
    "beaten": "A baseline is better by more than the noise: the gate train.gate refuses the model.",
    "unchecked": "The model was not compared: there is no validation part, or no baseline.",
}
_GATE = (
    "Model and baselines on the same events of the validation part, before any training with "
    "held-out data. The lead is the baseline's figure minus the model's, with its sign changed "
    "if lower is better; its bounds and the p-value come from the differences of the users."
)

_CHOICE = (
    "With train.algorithm: auto several models are tried; of those within one standard error of "
    "the best one in validation, the simplest is published."
)


def gate_section(metrics: Metrics) -> Section | None:
    """Return the comparison with the baselines on the validation part."""
    found = metrics.get("gate")
    if found is None:
        return None
    verdict = _VERDICTS[found["verdict"]]
    if found["verdict"] == "unchecked":
        return Section("gate", "Against the baselines in validation", verdict)
    rows = [["model", figure(found["model"]), "", "", ""]]
    rows += [
        [
            name,
            figure(one["value"]),
            figure(one["lead"], sign="+"),
            interval(one, sign="+"),
            figure(one["p"], 3),
        ]
        for name, one in found["baselines"].items()
    ]
    title = f"Validation part, {number(found['targets'])} rows of {number(found['users'])} users"
    header = ["model", found["metric"], "lead", "95% bounds", "p"]
    return Section(
        "gate",
        "Against the baselines in validation",
        f"{verdict} {_GATE}",
        tables=[Table(title, header, rows)],
    )


def choice_section(metrics: Metrics) -> Section | None:
    """Return what `train.algorithm: auto` tried, what it chose and why."""
    found = metrics.get("auto")
    if found is None:
        return None
    rows = [
        [
            name,
            f"{one['value']:.4f}",
            f"{one['behind']:.4f}",
            f"{one['standard_error']:.4f}",
            f"{one['seconds']:,.1f}",
        ]
        for name, one in found["tried"].items()
    ]
    header = ["model", found["metric"], "behind the best", "standard error", "seconds"]
    tables = [Table(f"Tried, validation part, {number(found['users'])} users", header, rows)]
    if found["skipped"]:
        skipped = [[name, reason] for name, reason in found["skipped"].items()]
        tables.append(Table("Not tried", ["model", "reason"], skipped, 2))
    if found["because"]:
        reasons = [[reason] for reason in found["because"]]
        tables.append(Table("Why the network is as it is", ["reason"], reasons, 1))
    return Section("choice", "Why this model", f"{found['reason']}. {_CHOICE}", tables=tables)
