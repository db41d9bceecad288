"""Counts of a version, and what the gates say about them, on lists written by hand."""

import itertools
import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from conf.errors import GateError
from conf.settings.lists.gates import Gates
from conf.settings.score import Score
from serving.gates.list_counts import CheckedPart, check_lists
from serving.gates.verdicts import COUNTS, GATES, figures_of, judged, require_passed
from serving.publishing.parts import LISTS_SCHEMA
from serving.rules.possible import Pools

USER_IDS = pa.array(["a", "b", "c"])
ITEM_IDS = pa.array([None, None, "x", "y", "z"])
HISTORIES = pa.array([[2], [], [2, 2, 3, 4, 1]], pa.list_(pa.int32()))
"""`a` has seen x, `b` nothing, `c` all there is."""
ALL = np.array([False, False, True, True, True])
GOOD = [("a", 1, "y", 2.0), ("a", 2, "z", 1.0), ("b", 1, "x", 0.5), ("b", 2, "z", 0.5)]


def checked(
    rows: list[tuple[Any, ...]],
    *,
    fallback: str = "b",
    model: np.ndarray = ALL,
    popular: np.ndarray = ALL,
    reason: str | None = "no_history",
    **options: Any,
) -> CheckedPart:
    table = table_of(rows, fallback, reason)
    settings = {"list_length": 2, "drop_seen": True, **options}
    return check_lists(table, USER_IDS, HISTORIES, ITEM_IDS, Pools(model, popular), **settings)


def table_of(rows: list[tuple[Any, ...]], fallback: str, reason: str | None) -> pa.Table:
    sources = ["fallback" if row[0] in fallback else "model" for row in rows]
    why = [reason if source == "fallback" else None for source in sources]
    none = [None] * len(rows)
    columns = [*map(list, zip(*rows, strict=True)), sources, none, why, none, none]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, LISTS_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LISTS_SCHEMA)


def manifest_of(overlap: float | None = None, **counts: int | None) -> dict[str, Any]:
    whole = {**dict.fromkeys(COUNTS, 0), "users": 1000, "lists": 1000, "rows": 4000}
    whole |= {"full_lists": 1000, "model_lists": 1000, "model_rows": 4000, "distinct_lists": 1000}
    whole |= {"recommendable_items": 50, "listed_items": 50, **counts}
    return {"id": "lists-1", "counts": whole, "figures": figures_of(whole, overlap)}


def score_with(**gates: dict[str, float | None]) -> Score:
    return Score.model_validate({"gates": gates})


def test_good_lists_are_counted() -> None:
    part = checked(GOOD)

    assert part.counts == {
        "users": 3, "lists": 2, "rows": 4, "model_lists": 1, "model_rows": 2, "fallback_lists": 1,
        "full_lists": 2, "users_without_lists": 1, "unexplained": 0, "unscored_users": 0,
        "unknown_ids": 0, "duplicate_items": 0, "seen_items": 0, "misplaced_rows": 0,
        "rule_violations": 0, "bad_propensities": 0, "bad_scores": 0,
    }  # fmt: skip
    assert part.fallbacks == {"no_history": 1} and not part.short_lists
    assert part.absent.to_pylist() == [{"user_id": "c", "why_absent": "catalogue_exhausted"}]
    assert part.listed.tolist() == [False, False, False, True, True]  # of the model's lists


@pytest.mark.parametrize(
    ("rows", "figure", "count"),
    [
        (GOOD[:2], "unexplained", 1),
        (GOOD[:3], "unexplained", 1),
        ([*GOOD[:3], ("b", 2, "?", 0.5)], "unknown_ids", 1),
        ([*GOOD[:3], ("b", 2, "x", 0.5)], "duplicate_items", 1),
        ([("a", 1, "x", 2.0), *GOOD[1:]], "seen_items", 1),
        ([*GOOD[:3], ("b", 3, "z", 0.5)], "misplaced_rows", 1),
        ([GOOD[0], GOOD[2], ("a", 1, "z", 1.0), GOOD[3]], "misplaced_rows", 3),
        ([GOOD[0], ("a", 2, "z", 2.5), *GOOD[2:]], "bad_scores", 1),
        ([GOOD[0], ("a", 2, "z", float("nan")), *GOOD[2:]], "bad_scores", 1),
        ([("a", 1, "y", float("inf")), *GOOD[1:]], "bad_scores", 1),
    ],
)
def test_each_fault_is_counted(rows: list[Any], figure: str, count: int) -> None:
    assert checked(rows).counts[figure] == count


def test_rows_of_a_user_who_is_not_in_the_dataset_are_nobody_elses() -> None:
    counts = checked([*GOOD, ("?", 1, "y", 0.5)], fallback="b").counts

    assert counts == checked(GOOD).counts | {
        "rows": 5, "model_rows": 3, "model_lists": 2, "unknown_ids": 1
    }  # fmt: skip
    assert checked([("?", 1, "y", 0.5), *GOOD]).counts == counts


@pytest.mark.parametrize("user", ["a", "b", "c"])
def test_a_list_is_counted_whoever_has_it(user: str) -> None:
    part = checked([(user, 1, "y", 2.0), (user, 2, "z", 1.0)], fallback="", drop_seen=False)

    names = ("lists", "model_lists", "model_rows", "fallback_lists", "misplaced_rows")
    assert [part.counts[name] for name in names] == [1, 1, 2, 0, 0]
    assert len(part.hashes) == 1


def test_a_list_of_all_items_is_short_only_because_the_catalogue_is_small() -> None:
    rows = [("a", 1, "x", 3.0), ("a", 2, "y", 2.0), ("a", 3, "z", 1.0)]
    assert checked(rows, list_length=4, drop_seen=False).short_lists == {"catalogue_small": 1}


def test_a_fallback_list_without_a_reason_is_said_to_be_unexplained() -> None:
    assert checked(GOOD, reason=None).fallbacks == {"unexplained": 1}


def test_two_lists_have_one_hash_only_if_they_are_equal_also_in_another_part() -> None:
    """All lists of two and three of 12 items, and those of two once more."""
    items = [str(number) for number in range(12)]
    ids = pa.array([None, None, *items])
    pairs = list(itertools.permutations(items, 2))
    lists = [*pairs, *itertools.permutations(items, 3), *pairs]
    users = pa.array([str(number) for number in range(len(lists))])
    model = np.arange(14) >= 2
    parts = []
    for _ in range(2):
        table = table_of([(str(user), place, item, 1.0) for user, chosen in enumerate(lists)
                          for place, item in enumerate(chosen, start=1)], "", None)  # fmt: skip
        histories = pa.array([[]] * len(lists), pa.list_(pa.int32()))
        parts.append(check_lists(table, users, histories, ids, Pools(model, model),
                                 list_length=3, drop_seen=True).hashes)  # fmt: skip
    assert len(parts[0]) == len(lists)
    assert len(np.unique(np.concatenate(parts))) == len(set(lists)) == 132 + 1320


def test_what_is_possible_is_what_the_model_can_recommend_to_the_user() -> None:
    knows_y = np.array([False, False, False, True, False])

    part = checked([GOOD[0], *GOOD[2:]], model=knows_y)  # z is unknown to the model

    assert part.counts["unexplained"] == 0
    assert part.short_lists == {"few_known_items": 1}
    lost = checked(GOOD[2:], model=knows_y)  # and a scorer that loses y is caught
    assert lost.counts["unexplained"] == 1
    assert lost.absent.to_pylist()[0] == {"user_id": "a", "why_absent": "unexplained"}


def test_a_fallback_list_can_have_the_items_with_training_events() -> None:
    only_x = np.array([False, False, True, False, False])

    assert checked(GOOD[:3], popular=only_x).counts["unexplained"] == 0
    assert checked(GOOD[:3], popular=only_x).short_lists == {"few_known_items": 1}


def test_a_fallback_list_of_a_user_that_the_model_knows_is_counted() -> None:
    assert checked(GOOD, fallback="ab").counts["unscored_users"] == 1


def test_seen_items_are_right_where_they_are_asked_for() -> None:
    rows = [*GOOD, ("c", 1, "x", 3.0), ("c", 2, "y", 2.0)]

    assert checked(rows).counts["seen_items"] == 2
    part = checked(rows, drop_seen=False)
    assert part.counts["seen_items"] == 0 and part.counts["full_lists"] == 3


def test_equal_lists_of_the_model_have_one_hash() -> None:
    rows = [("a", 1, "y", 2.0), ("a", 2, "z", 1.0), ("b", 1, "y", 0.5), ("b", 2, "z", 0.5)]
    turned = [*rows[:2], ("b", 1, "z", 0.5), ("b", 2, "y", 0.5)]

    assert len(set(checked(rows, fallback="").hashes.tolist())) == 1
    assert len(set(checked(turned, fallback="").hashes.tolist())) == 2
    assert len(checked(rows, fallback="ab").hashes) == 0  # no list is the model's


def test_figures_are_shares_and_none_without_data() -> None:
    figures = manifest_of(
        seen_items=None, rule_violations=None, bad_propensities=None, unexplained=5,
        bad_scores=2, full_lists=900,
        fallback_lists=250, distinct_lists=10, listed_items=20, compared_users=7, overlap=0.25,
        previous_users=200, lost_users=6, previous_listed_items=5, fewer_listed_items=3,
        best_items=200, recalled_items=180, index_best_items=50, index_found_items=49,
    )["figures"]  # fmt: skip

    assert figures == {
        "unexplained_short_lists": 0.005, "unknown_ids": 0, "duplicate_items": 0,
        "seen_items": None, "rule_violations": None, "misplaced_rows": 0, "bad_scores": 0.0005,
        "bad_propensities": None, "unscored_users": 0,
        "users_without_lists": 0, "short_lists": 0.1, "fallback_lists": 0.25,
        "distinct_lists": 0.01, "catalogue_coverage": 0.4, "overlap_with_previous": 0.25,
        "users_lost": 0.03, "coverage_lost": 0.6, "candidate_recall": 0.9, "index_recall": 0.98,
    }  # fmt: skip
    few = manifest_of(model_rows=25, listed_items=20)["figures"]
    assert few["catalogue_coverage"] == 0.8  # 25 rows cannot show 50 items
    nobody = manifest_of(
        lists=0, rows=0, model_lists=0, model_rows=0, distinct_lists=None, listed_items=0
    )["figures"]
    assert nobody["seen_items"] is nobody["fallback_lists"] is nobody["distinct_lists"] is None
    assert nobody["catalogue_coverage"] is None


def test_a_share_is_of_what_its_gate_names_and_at_most_one() -> None:
    """Nearly all lists are not the model's: its few rows count for the catalogue alone."""
    figures = manifest_of(
        model_rows=40, model_lists=10, distinct_lists=10, full_lists=0, fallback_lists=990,
        unknown_ids=1000, misplaced_rows=5000, listed_items=10,
    )["figures"]  # fmt: skip

    assert (figures["unknown_ids"], figures["fallback_lists"]) == (0.25, 0.99)
    assert (figures["short_lists"], figures["misplaced_rows"]) == (1.0, 1.0)
    assert (figures["catalogue_coverage"], figures["distinct_lists"]) == (0.25, 1.0)


def test_every_gate_has_its_limits() -> None:
    assert [*GATES, "recall_users"] == list(Gates.model_fields)


def test_one_users_trouble_is_a_warning_and_many_are_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        passed = require_passed(manifest_of(unexplained=1), Score())

    assert passed["gates"] == dict.fromkeys(GATES, True)
    assert passed["warnings"] == [
        "unexplained_short_lists: 1 of 1,000 users have a short list, or none, without a reason "
        "(0.001), but the limit is score.gates.unexplained_short_lists.warn_above=0; this is a "
        "fault of the scorer: remove the version's folder and score again"
    ]
    assert passed["warnings"][0] in caplog.text.replace("\n", "")
    with pytest.raises(GateError, match=r"refuse_above=0\.001"):
        require_passed(manifest_of(unexplained=2), Score())


@pytest.mark.parametrize(
    ("gate", "counts"),
    [
        ("unknown_ids", {"unknown_ids": 1}),
        ("duplicate_items", {"duplicate_items": 1}),
        ("seen_items", {"seen_items": 5}),
        ("misplaced_rows", {"misplaced_rows": 1}),
        ("bad_scores", {"bad_scores": 1}),
        ("unscored_users", {"unscored_users": 101}),
        ("users_without_lists", {"users_without_lists": 501}),
        ("fallback_lists", {"fallback_lists": 991}),
    ],
)
def test_the_default_limits_refuse(gate: str, counts: dict[str, int]) -> None:
    assert [v.name for v in judged(manifest_of(**counts), Score()) if v.refuses] == [gate]


@pytest.mark.parametrize(
    ("gate", "counts", "overlap"),
    [
        ("short_lists", {"full_lists": 0}, None),
        ("distinct_lists", {"distinct_lists": 9}, None),
        ("catalogue_coverage", {"recommendable_items": 4000, "listed_items": 39}, None),
        ("overlap_with_previous", {"compared_users": 1000}, 0.04),
        ("users_lost", {"previous_users": 100, "lost_users": 60}, None),
        ("coverage_lost", {"previous_listed_items": 9, "fewer_listed_items": 6}, None),
    ],
)
def test_what_may_be_meant_is_a_warning_until_a_limit_is_set(
    gate: str, counts: dict[str, int], overlap: float | None
) -> None:
    manifest = manifest_of(overlap, **counts)
    limit = {f"refuse_{'above' if 'warn_above' in dict(getattr(Gates(), gate)) else 'below'}": 0.5}

    passed = require_passed(manifest, Score())

    assert [text.split(":")[0] for text in passed["warnings"]] == [gate]
    with pytest.raises(GateError, match=rf"{gate}: .* score\.gates\.{gate}\.refuse"):
        require_passed(manifest, score_with(**{gate: limit}))
    off = {name.replace("refuse", "warn"): None for name in limit}
    assert require_passed(manifest, score_with(**{gate: off}))["warnings"] == []


@pytest.mark.parametrize(
    ("gate", "limits", "counts", "overlap"),
    [
        ("seen_items", {"refuse_above": 0.25}, {"seen_items": 1000}, None),
        ("distinct_lists", {"refuse_below": 0.25}, {"distinct_lists": 250}, None),
        ("overlap_with_previous", {"refuse_below": 0.25}, {"compared_users": 1000}, 0.25),
    ],
)
def test_a_figure_at_its_limit_is_let_through(
    gate: str, limits: dict[str, float], counts: dict[str, int], overlap: float | None
) -> None:
    score = score_with(**{gate: {**limits, **{key.replace("refuse", "warn"): None
                                              for key in limits}}})  # fmt: skip
    told = {v.name: v for v in judged(manifest_of(overlap, **counts), score)}[gate]
    assert not told.refuses and told.complaint is None


def test_an_overlap_below_its_limit_is_told_with_the_users_compared() -> None:
    with pytest.raises(GateError, match=r"overlap_with_previous: 0\.125 .* of 1,234 users, but"):
        require_passed(
            manifest_of(0.125, compared_users=1234),
            score_with(overlap_with_previous={"refuse_below": 0.25}),
        )


def test_a_limit_that_is_not_set_keeps_the_gates_default() -> None:
    score = score_with(seen_items={"refuse_above": 0.2})

    assert score.gates.seen_items.warn_above == 0
    assert score.gates.seen_items.refuse_above == 0.2
    assert score.gates.fallback_lists == Gates().fallback_lists


def test_the_earlier_name_of_a_limit_still_works() -> None:
    manifest = manifest_of(full_lists=990)

    assert all(require_passed(manifest, Score(min_full_share=0.99))["gates"].values())
    with pytest.raises(GateError, match="short_lists: 10 of 1,000 users have fewer than"):
        require_passed(manifest, Score(min_full_share=0.991))


def test_a_refusal_names_each_gate_with_figure_limit_and_remedy() -> None:
    manifest = manifest_of(bad_scores=40, seen_items=400)

    with pytest.raises(GateError) as refusal:
        require_passed(manifest, Score())

    text = str(refusal.value)
    assert refusal.value.exit_code == 5
    assert refusal.value.made == {
        "gates": {name: name not in ("bad_scores", "seen_items") for name in GATES},
        "warnings": [],
    }
    assert "lists-1 are not published, the previous lists stay: 2 gate(s)" in text
    seen = "400 of 4,000 rows contain an item that their user has already seen (0.1)"
    assert f"seen_items: {seen}, but the limit is score.gates.seen_items.refuse_above=0.001" in text
    assert "bad_scores: 40 of 4,000 rows" in text and "train again" in text


def test_a_refusal_of_published_lists_says_that_they_stay() -> None:
    manifest = manifest_of(full_lists=400) | {
        "short_lists": {"rules": 90, "catalogue_small": 10}, "users_without_lists": {"rules": 500}
    }  # fmt: skip
    score = score_with(short_lists={"refuse_above": 0.5})

    with pytest.raises(GateError, match="lists-1 are already published and stay published") as e:
        require_passed(manifest, score, is_current=True)

    assert "(0.6): 590 by rules, 10 by catalogue_small, but the limit" in str(e.value)
