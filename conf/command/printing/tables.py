"""Print a stage's result as short tables for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from conf.command.printing.cells import printable, text_of
from conf.command.printing.judged import print_judged
from conf.command.printing.outcomes import print_outcome
from conf.command.printing.shown import print_audience, print_item, print_user
from conf.command.printing.told import (
    told_blend,
    told_delivered,
    told_reasons,
    told_removed,
    told_rules,
    told_sizes,
)
from conf.contract import MODEL_NAME
from conf.pages.text import NOTHING, cost_cells, figure, interval

Result = dict[str, Any]
_MOST_FIGURES = 2  # in the table of segments; each is followed by its bounds


class _Console(Console):
    """A console that leaves it to the command what happens if the reader of stdout has left."""

    def on_broken_pipe(self) -> None:
        raise


def print_result(result: Result) -> None:
    """Print a result on stdout, in the form that fits its stage."""
    result = printable(result)
    # Titles and ids come from the log: text that looks like rich's markup must stay text.
    width = None if Console().is_terminal else 120
    console = _Console(width=width, markup=False, emoji=False)
    if result["stage"] == "run":
        for part in ("etl", "train", "score"):
            if part in result:  # a run that ended early lacks the rest
                print_result(result[part])
        return
    if result["stage"] == "show" and "similar" in result:
        print_item(console, result)
        return
    if result["stage"] == "show" and "audience" in result:
        print_audience(console, result)
        return
    if result["stage"] == "show":
        print_user(console, result)
        return
    if "judged" in result:
        print_judged(console, result)
        return
    if result["stage"] == "outcome":
        print_outcome(console, result)
        return
    if result["stage"] == "compare":
        print_comparison(console, result)
        return
    if result["stage"] == "gc":
        _print_removal(console, result)
        return
    if result["stage"] == "tune":
        print_tuning(console, result)
        return
    if result["stage"] == "erase":
        result = {**result, "removed": told_removed(result["removed"])}
    of_roles = result.pop("roles", {}).values() if result["stage"] == "train" else ()
    scenarios = result.pop("scenarios", {}) if result["stage"] == "score" else {}
    if "rules" in result:
        result = {**result, "rules": told_rules(result["rules"])}
    if "delivered" in result:
        result = {**result, "delivered": told_delivered(result["delivered"])}
    _print_plain(console, result)
    if "figures" in result:
        _print_gates(console, result, "gates of the lists")
    if "ledger" in result:
        _print_ledger(console, result["ledger"])
    if "metrics" in result:
        print_metrics(console, result["metrics"])
    for name, part in scenarios.items():
        _print_scenario(console, name, part)
    for part in of_roles:
        print_result(part)


def _print_removal(console: Console, result: Result) -> None:
    """Print what goes, and why the rest stays."""
    goes = "would be removed" if result["status"] != "done" else "removed"
    size = f"{result['removed_bytes'] / (1 << 20):,.1f} MiB"
    for title, last, rows in (
        (f"{goes}, {size}", "size", told_sizes(result["removed"])),
        ("stays", "because", told_reasons(result["kept"])),
    ):
        table = Table(title=title, title_justify="left")
        for name in ("kind", "version", last):
            table.add_column(name, justify="right" if name == "size" else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def _print_scenario(console: Console, name: str, found: Result) -> None:
    """Print the counts of a scenario's lists, and the gates."""
    if "rules" in found:
        found = {**found, "rules": told_rules(found["rules"])}
    _print_plain(console, {"stage": f"score: {name}", **found})
    _print_gates(console, found, f"gates of the lists of {name}")


def _print_plain(console: Console, result: Result) -> None:
    table = Table(title=result["stage"], show_header=False, title_justify="left")
    for key, value in result.items():
        if key not in ("stage", "ledger", "metrics", "figures", "gates", "warnings"):
            table.add_row(key, text_of(value))
    console.print(table)


def _print_gates(console: Console, result: Result, title: str) -> None:
    """Print the figure of each gate, and the warnings."""
    warned = {warning.split(":")[0] for warning in result["warnings"]}
    table = Table(title=title, title_justify="left")
    table.add_column("gate")
    table.add_column("figure", justify="right")
    table.add_column("")
    for name, found in result["figures"].items():
        verdict = "warning" if name in warned else ""
        table.add_row(name, text_of(found), verdict if result["gates"][name] else "refused")
    console.print(table)
    for warning in result["warnings"]:
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)


def _print_ledger(console: Console, ledger: Result) -> None:
    table = Table(title="ledger: where every row went", title_justify="left")
    for name in ("input", "rows read", "kept", "dropped", "quarantined"):
        table.add_column(name, justify="left" if name == "input" else "right")
    for name, account in ledger.items():
        table.add_row(
            name,
            f"{account['rows_read']:,}",
            f"{account['rows_kept']:,}",
            _reasons(account["dropped"]),
            _reasons(account["quarantined"]),
        )
    console.print(table)
    for name, account in ledger.items():
        if account.get("match") is not None:
            console.print(_told_match(name, account["match"]), markup=False, highlight=False)
    for name, account in ledger.items():
        for warning in account.get("warnings", ()):
            console.print(f"warning: {name}: {warning}", markup=False, highlight=False)


def _told_match(name: str, match: dict[str, int]) -> str:
    return (
        f"{name}: {match['log_ids_matched']:,} of the {match['log_ids']:,} {name} of the log have "
        f"a row in the table ({match['events_matched']:,} of {match['events']:,} events)"
    )


def _reasons(counts: dict[str, int]) -> str:
    return "\n".join(f"{reason} {count:,}" for reason, count in sorted(counts.items())) or "0"


def print_comparison(console: Console, result: Result) -> None:
    """Print figures with intervals, costs and reasons of each model, then the differences."""
    metric, models = result["metric"], result["models"]
    hits = [key for key in next(iter(models.values())) if key.startswith("hr@") and key != metric]
    table = Table(
        title=f"test part, {result['targets']:,} targets; bounds: 95% bootstrap interval",
        title_justify="left",
    )
    table.add_column("model")
    for name in (metric, "", *hits, "reasons", "another"):
        table.add_column(name, justify="right")
    for name, row in sorted(models.items(), key=lambda pair: -(pair[1][metric]["value"] or 0.0)):
        reasons = row["reasons"]
        table.add_row(
            name,
            figure(row[metric]["value"]),
            interval(row[metric], "-"),
            *(figure(row[key]["value"]) for key in hits),
            _share(reasons["score_falls_without_the_reason"], reasons["users"]),
            _share(reasons["score_falls_without_another_item"], reasons["users"]),
        )
    console.print(table)
    console.print(
        "reasons: users whose best item scores lower without its strongest reason; "
        "another: without another item",
        highlight=False,
    )
    print_costs(console, models)
    if result["differences"]:
        _print_differences(console, result)
    console.print(f"plot: {result['page']}", markup=False, highlight=False, soft_wrap=True)


def print_costs(console: Console, models: Mapping[str, Result]) -> None:
    """Print what each model costs; rows/s are those of scoring."""
    table = Table(title="cost", title_justify="left")
    table.add_column("model")
    for name in ("parameters", "training s", "memory", "FLOP per example", "rows/s"):
        table.add_column(name, justify="right")
    for name, row in models.items():
        table.add_row(name, *cost_cells(row))
    console.print(table)


def _print_differences(console: Console, result: Result) -> None:
    table = Table(
        title=f"{result['metric']} minus that of {result['reference']}", title_justify="left"
    )
    for name in ("model", "difference", "", "p"):
        table.add_column(name, justify="left" if name == "model" else "right")
    found = result["differences"].items()
    for name, row in sorted(found, key=lambda pair: -(pair[1]["value"] or 0.0)):
        table.add_row(
            name, figure(row["value"], sign="+"), interval(row, sign="+"), figure(row["p"], 3)
        )
    console.print(table)


def _share(value: float | None, users: int) -> str:
    return NOTHING if value is None else f"{value:.0%} of {users}"


def print_tuning(console: Console, result: Result) -> None:
    """Print the trials, the importance of the keys, and the best settings."""
    table = Table(title=f"trials, {result['metric']} in validation", title_justify="left")
    for name in ("trial", result["metric"], "epochs", "seconds", "state", "settings"):
        table.add_column(name, justify="left" if name in ("state", "settings") else "right")
    for row in result["trials"]:
        table.add_row(
            str(row["trial"]),
            figure(row["value"]),
            "-" if row["epochs"] is None else str(row["epochs"]),
            f"{row['seconds']:,.1f}",
            row["state"] if row["same_as"] is None else f"{row['state']}, as {row['same_as']}",
            _settings(row["settings"]),
        )
    console.print(table)
    for row in result["trials"]:
        if row["message"] is not None:
            where = f"trial {row['trial']}"
            told = row["message"].removeprefix(f"{where}: ")
            console.print(f"{where} {row['state']}: {told}", markup=False, highlight=False)
    if result["importance"] is not None:
        shares = Table(title="share of the figure's variance by key", title_justify="left")
        for name, share in result["importance"].items():
            shares.add_row(name, f"{share:.0%}")
        console.print(shares)
    best = result["best"]
    console.print(
        f"best: trial {best['trial']}, {_settings(best['settings'], ' ')}",
        markup=False,
        highlight=False,
    )
    if "written" in result:
        console.print(f"written: {result['written']}", markup=False, highlight=False)


def _settings(settings: dict[str, Any], separator: str = "\n") -> str:
    return separator.join(f"{key}={_value(value)}" for key, value in settings.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_metrics(console: Console, metrics: Result) -> None:
    """Print the test figures of the model next to those of the baselines."""
    models: dict[str, dict[str, float | None]] = metrics["test"]
    if "test_rows" in metrics:
        title = f"test part, {metrics['test_rows']:,} impressions"
    else:
        title = f"test part, all items ranked, {metrics['test_users']:,} users"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    names = list(next(iter(models.values())))
    for name in names:
        table.add_column(name, justify="right")
    for model, figures in models.items():
        table.add_row(model, *(figure(figures[name]) for name in names))
    console.print(table)
    if metrics.get("blend"):
        console.print(told_blend(metrics["blend"]), markup=False, highlight=False)
    if "auto" in metrics:
        _print_choice(console, metrics["auto"])
    if metrics.get("gate", {}).get("baselines"):
        _print_gate(console, metrics["gate"])
    if metrics.get("segments", {}).get("all"):
        _print_segments(console, metrics["segments"])
    if "scoring" in metrics:
        print_costs(console, {MODEL_NAME: {**metrics.get("training", {}), **metrics["scoring"]}})


def _print_choice(console: Console, found: Result) -> None:
    """Print what `train.algorithm: auto` tried and what it chose."""
    table = Table(title="auto: tried on the validation part", title_justify="left")
    for name in ("model", found["metric"], "behind the best", "standard error", "seconds"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, one in found["tried"].items():
        figures = (f"{one[key]:.4f}" for key in ("value", "behind", "standard_error"))
        table.add_row(name, *figures, f"{one['seconds']:,.1f}")
    console.print(table)
    console.print(f"auto: {found['reason']}", markup=False, highlight=False)
    for name, reason in found["skipped"].items():
        console.print(f"auto: no {name}: {reason}", markup=False, highlight=False)


def _print_gate(console: Console, found: Result) -> None:
    """Print model and baselines on the validation part, with the lead of each baseline."""
    table = Table(
        title=f"validation part, {found['users']:,} users: {found['verdict']}",
        title_justify="left",
    )
    for name in ("model", found["metric"], "lead over the model", "95% bounds", "p"):
        table.add_column(name, justify="left" if name == "model" else "right")
    table.add_row(MODEL_NAME, figure(found["model"]), "", "", "")
    for name, one in found["baselines"].items():
        lead = figure(one["lead"], sign="+")
        cells = (figure(one["value"]), lead, interval(one, sign="+"), figure(one["p"], 3))
        table.add_row(name, *cells)
    console.print(table)


def _print_segments(console: Console, segments: Result) -> None:
    whole = segments["all"]["all"]
    shown = list(whole[MODEL_NAME])[:_MOST_FIGURES]
    baselines = [name for name in whole if name not in ("targets", MODEL_NAME)]
    table = Table(title="segments; bounds: 95% bootstrap interval", title_justify="left")
    table.add_column("segment")
    others = [f"{name} {shown[-1]}" for name in baselines]
    for name in ("targets", *(head for own in shown for head in (own, "")), *others):
        table.add_column(name, justify="right")
    for division, found in segments.items():
        for segment, figures in found.items():
            own = [figures[MODEL_NAME][name] for name in shown]
            table.add_row(
                segment if division == "all" else f"{division} {segment}",
                f"{figures['targets']:,}",
                *(cell for one in own for cell in (figure(one["value"]), interval(one, "-"))),
                *(figure(figures[name][shown[-1]]["value"]) for name in baselines),
            )
    console.print(table)
