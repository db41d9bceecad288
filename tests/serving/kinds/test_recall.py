"""How many of the best items are candidates, against loops over all pairs of a shop."""

import hashlib
import logging

import pytest

from conf.contract import MAIN
from conf.runs.inputs.list_files import list_files
from serving.gates.verdicts import figures_of
from serving.kinds.prepared import Prepared, Source, prepared
from serving.kinds.recall import RECALL, recall_counts
from serving.publishing.parts import read_item_ids
from serving.scoring.list_model import load_model
from tests.serving.scoring.test_ruled_candidates import Case, allowed, boosted, overrides
from tests.serving.staged_shop import (
    LENGTH,
    USERS,
    Known,
    StagedShop,
    known_of,
    made_by,
    named_by,
    write_staged,
)

CASES = [Case(), Case(where=True, files=True, refill=False), Case(where=True, boosts=0.4)]


WITHOUT_MODEL = (
    "score.candidates={}", "score.candidates={pop: {from: popularity, count: 7, by: country}, "
    "picks: {from: list, path: picks.txt, count: 3}}",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> StagedShop:
    return write_staged(tmp_path_factory.mktemp("shop"))


def measured(shop: StagedShop) -> tuple[Source, Prepared, dict[str, int | None]]:
    main = load_model(shop.workspace, shop.models[MAIN], shop.manifest)
    ids = read_item_ids(shop.workspace / "datasets" / shop.manifest.id, shop.manifest)
    others = {role: one for role, one in shop.models.items() if role != MAIN}
    source = Source(shop.config, shop.manifest, main, ids, others, list_files(shop.config))
    [one] = prepared(source, (), {})
    return source, one, recall_counts(source, one)


def expected(
    case: Case, known: Known, users: list[int], channels: tuple[str, ...] = ("net", "pop", "picks")
) -> dict[str, int]:
    """Return the counts by loops: the best of all that each user may get, and what is named."""
    best_items = recalled = 0
    for user in users:
        may = allowed(case, known, user)
        values = known.values[user] if known.kind == "ranked" else known.scores[user]
        worth = {item: boosted(case, known, user, item, float(values[item])) for item in may}
        best = sorted(may, key=lambda item: (-worth[item], item))[:LENGTH]
        found = named_by(known, user, may)
        named = {item for channel in channels for item in found[channel]}
        best_items += len(best)
        recalled += len(named.intersection(best))
    return {"recall_users": len(users), "best_items": best_items, "recalled_items": recalled}


def sample(size: int) -> list[int]:
    """Return the users whose ids have the smallest hashes."""

    def digest(user: int) -> str:
        return hashlib.sha256(f"recall/u{user}".encode()).hexdigest()

    return sorted(range(USERS), key=digest)[:size]


@pytest.mark.parametrize("kind", ["ranked", "fused"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_share_of_the_best_items_that_a_channel_names(
    shop: StagedShop, kind: str, case: Case
) -> None:
    rules = overrides(case, shop.workspace) if case != Case() else []
    channels = ("pop", "picks") if kind == "fused" else ("net", "pop", "picks")
    made = made_by(shop, kind, *rules, *(WITHOUT_MODEL if kind == "fused" else ()))
    known = known_of(made_by(shop, kind))

    _, _, counts = measured(made)

    assert counts == expected(case, known, list(range(USERS)), channels)
    share = (counts["recalled_items"] or 0) / (counts["best_items"] or 1)
    assert 0.1 < share < 1  # neither all nor nothing, so a mistake would show


def test_few_users_are_the_same_ones_each_time(shop: StagedShop) -> None:
    known = known_of(made_by(shop, "ranked"))
    for size in (3, 9):
        made = made_by(shop, "ranked", f"score.gates.recall_users={size}")
        _, _, counts = measured(made)
        assert counts == expected(Case(), known, sample(size))


def test_the_best_items_of_a_network_are_found_exactly_for_all_users(shop: StagedShop) -> None:
    """Neither an index nor the bound of a ranker's pairs has an effect on them."""
    known = known_of(made_by(shop, "fused"))
    settings = ("score.index={lists: 3, probes: 1}", "score.max_pairs=1")
    _, _, counts = measured(made_by(shop, "fused", *WITHOUT_MODEL, *settings))
    assert counts == expected(Case(), known, list(range(USERS)), ("pop", "picks"))


def test_its_cost_is_bounded(shop: StagedShop, caplog: pytest.LogCaptureFixture) -> None:
    pairs = 7 * 40 + 39
    with caplog.at_level(logging.INFO):
        _, _, counts = measured(made_by(shop, "ranked", f"score.max_pairs={pairs}"))
    assert counts["recall_users"] == 7
    assert "measured on 7 users, not on score.gates.recall_users=200" in caplog.text


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("ranked", "score.gates.recall_users=0"),
        ("ranked", "score.max_pairs=10"),
        ("alone", "score.reasons=0"),
    ],
)
def test_without_candidates_or_users_it_is_not_measured(
    shop: StagedShop, kind: str, more: str
) -> None:
    source, one, counts = measured(made_by(shop, kind, more))
    assert counts == dict.fromkeys(RECALL)
    assert source.config.score.gates.candidate_recall.warn_below is None and one.score is not None


def test_channels_that_name_everything_miss_nothing(shop: StagedShop) -> None:
    """The candidates of the ranking model are the catalogue that the exact lists are made of."""
    every = "score.candidates={net: {from: model, count: 40}}"
    _, _, counts = measured(made_by(shop, "ranked", every))
    assert counts["recalled_items"] == counts["best_items"] == USERS * LENGTH
    whole = dict.fromkeys(
        ("users", "lists", "rows", "model_lists", "full_lists", "recommendable_items"), 0
    )
    compared = dict.fromkeys(
        ("compared_users", "previous_users", "previous_listed_items", "index_best_items"), 0
    )
    figures = figures_of({**whole, **compared, "model_rows": 0, **counts}, None)
    assert figures["candidate_recall"] == 1.0
