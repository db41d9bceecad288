"""What the gates, the ledger and any split of the work make of candidates under rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conf.contract import ListsManifest
from conf.runs.stages import run_score
from conf.workspace.parquet import describe_parquet
from conf.workspace.versions import commit, read_manifest
from serving.publishing.parts import read_ledger
from tests.serving.impression_shop import shop_config
from tests.serving.scoring.test_ruled_candidates import (
    CASES,
    LEAST,
    Case,
    allowed,
    check,
    expected_list,
    overrides,
)
from tests.serving.staged_shop import (
    DENIED,
    LENGTH,
    NETWORK,
    PICKS,
    USERS,
    Known,
    StagedShop,
    made_by,
    quota,
    write_staged,
)


def ruled(shop: StagedShop, kind: str, case: Case, *more: str) -> StagedShop:
    return made_by(shop, kind, *overrides(case, shop.workspace), *more)


def without_last_rows(shop: StagedShop) -> None:
    """Take the last item off each full list in the written parts."""
    for path in shop.folder.glob("part-*.parquet"):
        table = pq.read_table(path)
        keep = [place < LENGTH for place in table["position"].to_pylist()]
        pq.write_table(table.filter(keep), path, write_page_checksum=True)


def same_lists(some: list[list[dict[str, Any]]], others: list[list[dict[str, Any]]]) -> None:
    """Compare all but the last bits of what networks compute for more or fewer rows at once."""
    for rows, same in zip(some, others, strict=True):
        plain = [[{**row, "score": 0, "reasons": 0} for row in one] for one in (rows, same)]
        assert plain[0] == plain[1]
        scores = [[row["score"] for row in one] for one in (rows, same)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-5)


@pytest.mark.parametrize("kind", LEAST)
@pytest.mark.parametrize(
    ("case", "is_sure"),
    [
        (Case(where=True, refill=False), True),
        (Case(pins=True), True),
        (Case(least=-9.0, refill=False), False),  # nobody knows how many scores are so high
    ],
)
def test_a_list_that_lacks_an_item_without_need_is_unexplained(
    staged_shop: StagedShop, kind: str, case: Case, is_sure: bool
) -> None:
    shop = ruled(staged_shop, kind, case)
    lists, counted = shop.lists()
    assert counted.counts["unexplained"] == 0
    full = sum(len(rows) == LENGTH for rows in lists)

    without_last_rows(shop)

    found = shop.counted(shop.worker()).counts["unexplained"]
    assert found == (full if is_sure else 0) and full == USERS


def test_a_short_list_of_candidates_says_whether_the_rules_made_it_short(
    staged_shop: StagedShop, known: dict[str, Known]
) -> None:
    case = Case(files=True, refill=False)
    picks = "score.candidates={p: {from: list, path: picks.txt, count: 6}}"
    given = (*NETWORK, "ranker=null", picks, *overrides(case, staged_shop.workspace))
    config = shop_config(staged_shop.workspace, *given)
    shop = made_by(staged_shop, "fused")._replace(config=config)
    lists, counted = shop.lists()
    reasons = set()
    for user, rows in enumerate(lists):
        unseen = {*PICKS} - {*known["fused"].rows.histories[user]}
        left = unseen & allowed(case, known["fused"], user)
        wanted = "rules" if len(left) < min(len(unseen), LENGTH) else "few_candidates"
        reason = None if len(left) >= LENGTH else wanted
        assert len(rows) == min(len(left), LENGTH)
        assert {row["why_short"] for row in rows} <= {reason}
        reasons.add(reason)
    assert {"rules", "few_candidates"} <= reasons
    assert counted.counts["unexplained"] == 0


@pytest.mark.parametrize("kind", LEAST)
def test_the_gate_finds_lists_that_lack_their_share(
    staged_shop: StagedShop, known: dict[str, Known], kind: str
) -> None:
    free = ruled(staged_shop, kind, Case(where=True))
    lists, _ = free.lists()
    margins, lacking = known[kind].rows.margins, 0
    for user, rows in enumerate(lists):
        listed = [int(row["item_id"][1:]) for row in rows]
        has = sum((margins[item] or 0) > 3 for item in listed)
        may = allowed(Case(where=True), known[kind], user)
        others = [item for item in may if item not in listed and (margins[item] or 0) > 3]
        lacking += has < quota(user, 0.5) and bool(others)

    shop = ruled(staged_shop, kind, Case(where=True, share=True))

    found = shop.counted(shop.worker()).counts["rule_violations"]
    if kind == "alone":
        assert found == lacking > 0
    else:  # what the channels name is known only if they name all that is left
        assert 0 <= found <= lacking


def test_a_ranking_model_that_names_all_items_has_a_right_share(
    staged_shop: StagedShop, known: dict[str, Known]
) -> None:
    case = Case(where=True, share=True)
    check(case, ruled(staged_shop, "alone", case), known["alone"])


@pytest.mark.parametrize("kind", LEAST)
def test_the_ledger_counts_what_rules_take_from_the_lists(
    staged_shop: StagedShop, known: dict[str, Known], kind: str
) -> None:
    case = Case(where=True, files=True)
    shop = ruled(staged_shop, kind, case)
    shop.lists()

    ledger = read_ledger(shop.folder, len(shop.manifest.row_groups("histories")))

    free = [expected_list(Case(), known[kind], user).items for user in range(USERS)]
    margins, countries = known[kind].rows.margins, known[kind].rows.countries
    broken: dict[str, Callable[[int, int], bool]] = {
        "where.rich": lambda _, item: (margins[item] or 2) <= 1,
        "where.here": lambda user, item: countries[user] != "a" and (margins[item] or 5) >= 5,
        "deny.bad": lambda _, item: item in DENIED,
    }
    for name, breaks in broken.items():
        gone = [[breaks(user, item) for item in items] for user, items in enumerate(free)]
        assert ledger[f"score.rules.{name}"]["removed_places"] == sum(map(sum, gone)), name
        assert ledger[f"score.rules.{name}"]["lists_touched"] == sum(map(any, gone))
    assert ledger["all"] == {"sampled_users": USERS, "sampled_lists": USERS}


@pytest.mark.parametrize("kind", ["fused", "alone"])
def test_conditions_hold_where_users_differ_too_much_for_groups(
    staged_shop: StagedShop,
    known: dict[str, Known],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.rules.part._FEW_GROUPS", 0)
    case = CASES["files"]
    check(case, ruled(staged_shop, kind, case), known[kind])


@pytest.mark.parametrize("kind", LEAST)
def test_users_at_once_change_no_list(
    staged_shop: StagedShop, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["much"]
    lists, _ = ruled(staged_shop, kind, case).lists()
    for block, pairs in ((7, 1 << 17), (40, 45)):
        monkeypatch.setattr("serving.ranking.two_stage.PAIRS_AT_ONCE", pairs)
        same_lists(ruled(staged_shop, kind, case, f"score.block_users={block}").lists()[0], lists)


@pytest.mark.parametrize("kind", LEAST)
def test_parts_change_no_list(tmp_path: Path, kind: str) -> None:
    case = Case(pins=True, cap=True, boosts=0.3, share=True)
    shop = write_staged(tmp_path)
    lists, _ = ruled(shop, kind, case).lists()
    folder = tmp_path / "datasets" / shop.manifest.id
    files = dict(shop.manifest.files)
    for name in ("histories", "users"):
        path = folder / name / "part-00000.parquet"
        pq.write_table(pq.read_table(path), path, row_group_size=9, write_page_checksum=True)
        files[name] = (describe_parquet(folder, path),)
    manifest = shop.manifest.model_copy(update={"files": files})
    commit(tmp_path, "datasets", manifest)
    split = ruled(shop._replace(manifest=manifest), kind, case)
    assert len(manifest.row_groups("histories")) == 5 > len(shop.manifest.row_groups("histories"))
    same_lists(split.lists()[0], lists)


@pytest.mark.slow
def test_any_number_of_workers_makes_the_same_lists(shared_ray: None, tmp_path: Path) -> None:
    case = Case(where=True, cap=True, pins=True, boosts=0.3, fatigue=True, files=True)
    made = []
    for workers in (1, 2):
        shop = write_staged(tmp_path / str(workers))
        one = ruled(shop, "ranked", case, f"score.workers={workers}", "score.reasons=1")
        result = run_score(one.config)
        assert all(result["gates"].values()) and result["counts"]["rule_violations"] == 0
        lists = read_manifest(one.workspace, "lists", result["id"], ListsManifest)
        assert lists.models == {"ranker": one.models["ranker"]} and lists.channels["net"] > 0
        assert lists.rules["score.rules.pins.third"]["pinned_places"] > 0
        files = sorted(Path(result["folder"]).glob("part-*"))
        made.append((lists.rules, [path.read_bytes() for path in files]))
    assert made[0] == made[1] and len(made[0][1]) == 2
