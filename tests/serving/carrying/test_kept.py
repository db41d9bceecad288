import shutil
from collections import Counter
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from conf.contract import SOURCE, SOURCE_MODEL, USER_ID, WHY_SHORT
from conf.runs.stages import run_score
from tests.serving.carrying.changed_lists import change_lists, files_of, other_scores
from tests.serving.carrying.two_days import (
    ACTIVE,
    USERS,
    Shop,
    both_ways,
    first_day,
    second_day,
)

ENCODERS = ["attention", "bidirectional", "gru", "cnn", "caser", "mean"]
RULES = (
    "score.rules={where: {in_stock: 'stock > 0', afford: 'item.price < user.budget + 10'},"
    " boosts: {near: {where: 'item.region = user.region', times: 1.5}}}"
)
SCENARIO = (
    "score.scenarios.cart={users: \"user.region = 'north'\", list_length: 3, reasons: 1,"
    " rules: {where: {in_stock: 'stock > 0'}}}"
)
OF_EVENTS = "score.rules={leave_out: {bought: {events: [buy]}, viewed: {events: [view], days: 30}}}"
KEPT = "unchanged lists of"
INDEX = "score.index={}"


def idle(shop: Shop) -> int:
    """Return how many users have a history, so that their list is the model's, and did nothing."""
    return sum(bool(own) for user, own in enumerate(shop.histories) if user not in ACTIVE)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_lists_that_are_kept_are_those_of_a_full_run(encoder: str, tmp_path: Path) -> None:
    own = [f"train.model.encoder={encoder}", "train.model.history_length=20"]
    shop = first_day(tmp_path, *own)
    kept, full, num_kept = both_ways(shop, second_day(shop), *own)
    assert kept == full
    assert num_kept == idle(shop) > USERS / 2


def whole_lists(full: dict[str, bytes], folder: str, length: int) -> set[int]:
    """Return the users with a list of the model of the full length."""
    tables = [
        pq.read_table(BytesIO(content))
        for path, content in full.items()
        if Path(path).parent == Path(folder)
    ]
    rows = pa.concat_tables(tables).filter(pc.field(SOURCE) == SOURCE_MODEL)
    counts = Counter(rows.filter(pc.field(WHY_SHORT).is_null())[USER_ID].to_pylist())
    return {int(user.removeprefix("u")) for user, count in counts.items() if count == length}


def aged(shop: Shop) -> set[int]:
    """Return the users with a view that is 30 days before the first day, not the second."""
    first, end = (int(datetime(2026, 1, day, tzinfo=UTC).timestamp()) * 10**6 for day in (1, 2))
    return {u for u, own in enumerate(shop.times) if any(first <= t < end for t in own[::2])}


@pytest.mark.parametrize(
    ("own", "lengths"),
    [
        ([RULES], {"": 4}),
        ([SCENARIO], {"": 4, "cart": 3}),
        ([OF_EVENTS], {"": 4}),
        (["score.reasons=0", "score.drop_seen=false"], {"": 4}),
        (["score.texts.languages=[en, de]", "score.list_length=7"], {"": 7}),
        (["train.model.similarity=cosine", "score.cpus_per_worker=2"], {"": 4}),
    ],
)
def test_the_same_with_settings_of_lists(
    own: list[str], lengths: dict[str, int], tmp_path: Path
) -> None:
    shop = first_day(tmp_path, *own)
    kept, full, num_kept = both_ways(shop, second_day(shop), *own)
    assert kept == full
    unchanged = set(range(USERS)) - {*ACTIVE}
    if own == [OF_EVENTS]:
        assert unchanged & aged(shop)
        unchanged -= aged(shop)
    keepable = [len(whole_lists(full, *one) & unchanged) for one in lengths.items()]
    assert all(keepable) and num_kept == sum(keepable)


def test_the_same_with_a_counting_model(tmp_path: Path) -> None:
    own = ["train.algorithm=item_knn"]
    shop = first_day(tmp_path, *own, counts=True)
    kept, full, num_kept = both_ways(shop, second_day(shop), *own)
    assert kept == full
    assert num_kept > USERS / 2


def test_other_stock_makes_all_lists_again(tmp_path: Path) -> None:
    shop = first_day(tmp_path, RULES)
    kept, full, num_kept = both_ways(shop, second_day(shop, stock=1), RULES)
    assert kept == full and num_kept == 0


def test_with_an_index_all_lists_are_made(tmp_path: Path) -> None:
    # How many items it looks for follows from the users of a batch, and so do the last digits.
    shop = first_day(tmp_path, INDEX)
    kept, full, num_kept = both_ways(shop, second_day(shop), INDEX)
    assert kept == full and num_kept == 0


def test_users_who_did_something_have_new_lists(tmp_path: Path) -> None:
    shop = first_day(tmp_path)
    kept, full, num_kept = both_ways(shop, second_day(shop, everybody=True))
    assert kept == full and num_kept == 0


def day_of(shop: Shop, caplog: pytest.LogCaptureFixture, *overrides: str) -> tuple[Any, int]:
    """Run the command's function; return the result and how many lists were kept."""
    caplog.clear()
    with caplog.at_level("INFO"):
        made = run_score(shop.config(*overrides))
    told = [record.getMessage() for record in caplog.records if KEPT in record.getMessage()]
    return made, int(told[0].split(KEPT)[0].split()[-1].replace(",", "")) if told else 0


@pytest.mark.usefixtures("shared_ray")
def test_a_run_keeps_lists_and_finds_out_if_they_are_other_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = first_day(tmp_path)
    first, _ = day_of(shop, caplog)
    _, num_kept = day_of(shop, caplog, "score.list_length=3")
    assert num_kept == 0
    run_score(shop.config())  # the current lists again
    before = {path: path.read_bytes() for path in (tmp_path / "lists").glob("*.json")}
    second_day(shop)
    second, num_kept = day_of(shop, caplog)
    assert num_kept == idle(shop)
    folder = tmp_path / "lists" / second["id"]
    kept = files_of(folder)

    def again(*overrides: str) -> int:
        """Forget the second day's lists and make them again."""
        shutil.rmtree(folder)
        for path, content in before.items():
            path.write_bytes(content)
        made, found = day_of(shop, caplog, *overrides)
        assert made["id"] == second["id"] and files_of(folder) == kept
        return found

    assert again("score.keep_unchanged=false") == 0
    change_lists(tmp_path, first["id"], other_scores)
    assert again() == 0
    assert "cannot be reused" in caplog.text
