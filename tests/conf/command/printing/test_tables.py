import pytest

from conf.command.printing.tables import print_result


def test_what_is_odd_about_the_files_is_said_below_the_ledger(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = {"rows_read": 2, "rows_kept": 2, "dropped": {}, "quarantined": {}}
    warning = "column price [eur] is not in 2.csv: null there"
    ledger = {"events": {**account, "warnings": [warning]}, "items": account}
    print_result({"stage": "etl", "ledger": ledger})
    assert capsys.readouterr().out.rstrip().endswith(f"warning: events: {warning}")


def test_how_a_table_fits_the_log_is_said_below_the_ledger(
    capsys: pytest.CaptureFixture[str],
) -> None:
    account = {"rows_read": 2, "rows_kept": 2, "dropped": {}, "quarantined": {}}
    match = {"log_ids": 3000, "log_ids_matched": 2, "events": 25, "events_matched": 17,
             "table_ids": 5}  # fmt: skip
    print_result({"stage": "etl", "ledger": {"items": {**account, "match": match}}})
    assert (
        capsys.readouterr()
        .out.rstrip()
        .endswith(
            "items: 2 of the 3,000 items of the log have a row in the table (17 of 25 events)"
        )
    )


def test_figures_are_printed_by_segment_and_with_their_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = {"hr@10": {"value": 0.3, "low": 0.25, "high": 0.35},
            "ndcg@10": {"value": 0.2, "low": 0.15, "high": 0.25}}  # fmt: skip
    other = {name: {**bounds, "value": 0.0625} for name, bounds in ours.items()}
    segment = {"targets": 1234, "model": ours, "markov": other}
    test = {"model": {"hr@10": 0.3}, "markov": {"hr@10": 0.1}}
    metrics = {
        "test": test, "test_users": 1234, "training": {"parameters": 4321, "rows_per_second": 777},
        "segments": {"all": {"all": segment}, "users": {"new": {**segment, "targets": 7}}},
        "scoring": {"flops_per_example": 9876},
    }  # fmt: skip
    print_result({"stage": "evaluate", "metrics": metrics})
    lines = capsys.readouterr().out.splitlines()
    (new,) = [line for line in lines if "users new" in line]
    assert [cell.strip() for cell in new.strip("│").split("│")] == [
        "users new", "7", "0.3000", "0.2500-0.3500", "0.2000", "0.1500-0.2500", "0.0625",
    ]  # fmt: skip
    (cost,) = [line for line in lines if "4,321" in line]
    assert "9,876" in cost and "777" not in cost  # rows are those of scoring


def test_a_search_is_told_trial_by_trial(capsys: pytest.CaptureFixture[str]) -> None:
    rate = {"train.optimizer.learning_rate": 0.0123456}
    row = {"trial": 1, "state": "done", "value": 0.25, "epochs": 3, "seconds": 1.5,
           "settings": rate, "message": None, "same_as": None}  # fmt: skip
    nothing = {"state": "refused", "value": None, "epochs": None, "message": "trial 2: heads=3 no"}
    refused = {**row, **nothing, "trial": 2, "settings": {"train.model.heads": 3}}
    print_result({
        "stage": "tune", "metric": "ndcg@10", "trials": [row, refused, {**row, "same_as": 1}],
        "best": {"trial": 1, "value": 0.25, "settings": rate}, "written": "best.yaml",
        "importance": {"train.model.width": 0.75, "train.model.heads": 0.25},
    })  # fmt: skip
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    assert lines[0] == "trials, ndcg@10 in validation"
    assert any("0.2500" in line and "learning_rate=0.01235" in line for line in lines)
    assert any("done, as 1" in line for line in lines) and any("75%" in line for line in lines)
    assert "trial 2 refused: heads=3 no" in lines
    assert lines[-2:] == [
        "best: trial 1, train.optimizer.learning_rate=0.01235", "written: best.yaml",
    ]  # fmt: skip


def test_a_title_is_shown_as_it_stands_and_does_nothing_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    titles = ["Shirt [/sale] [bold]x[/bold] :smile:", "a\x1b[31mb"]
    events = [{"when": "-", "event": "view", "item_id": "[/i]", "title": title} for title in titles]
    row = {"position": 1, "item_id": "i", "title": titles[0], "score": 1.0, "source": "model"}
    print_result({"stage": "show", "user_id": "[/u]", "lists_id": "l", "history": events,
                  "list": [{**row, "because": [titles[0]]}]})  # fmt: skip
    printed = capsys.readouterr().out

    assert "history of [/u], newest" in printed and "│ [/i] │" in printed
    assert printed.count(titles[0]) >= 2
    assert r"a\x1b[31mb" in printed and "\x1b" not in printed


def test_why_a_list_is_as_it_is_is_told_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    why = {"reason": "few_known_items", "meaning": "the model knows too few"}
    print_result({"stage": "show", "user_id": "u", "lists_id": "l", "history": [], "list": [],
                  "why_fallback": None, "why_short": None, "why_absent": why})  # fmt: skip
    printed = capsys.readouterr().out

    assert "why_absent: few_known_items: the model knows too few" in printed
    assert "why_short" not in printed


def test_figures_of_gates_are_told_with_their_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({"stage": "score", "figures": {"seen_items": None, "short_lists": 0.125},
                  "gates": {"seen_items": True, "short_lists": True},
                  "warnings": ["short_lists: 1 of 8 users"]})  # fmt: skip
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines()]

    assert ["seen_items", "-", ""] in rows and ["short_lists", "0.125", "warning"] in rows
    assert "warning: short_lists: 1 of 8 users" in printed.splitlines()


def test_an_erasure_says_what_its_numbers_count(capsys: pytest.CaptureFixture[str]) -> None:
    removed = {"lists/l": {"lists": 1446}, "models/m": {}, "datasets/d": {"encoders": 2}}
    print_result({"stage": "erase", "found": 2, "not_found": 1, "removed": removed})
    printed = capsys.readouterr().out
    assert "lists: 1,446 rows" in printed and "encoders: 2 values" in printed
    assert "models/m: nothing to remove" in printed and "not_found" in printed


def test_a_blend_names_the_members_that_it_does_not_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = {"test": {"model": {"hr@10": 0.3}}, "test_users": 7,
               "blend": {"ease": 0.25, "popularity": 0.0, "markov": 0.75}}  # fmt: skip
    print_result({"stage": "train", "metrics": metrics})
    (line,) = [text for text in capsys.readouterr().out.splitlines() if "blend" in text]
    assert line == "blend: markov 0.75, ease 0.25; not used, with the weight 0: popularity"
