"""Earlier lists, or their dataset, that are no longer as they were written."""

from pathlib import Path

import pytest

from conf.contract import HISTORY_CONTEXT, Column, ListsManifest, Manifest
from conf.erasure.erase import run as erase
from conf.workspace.versions import read_manifest
from serving.carrying.merged import NotKeptError
from serving.publishing.parts import part_name
from tests.serving.carrying.two_days import (
    ACTIVE,
    Shop,
    basis_of_lists,
    first_day,
    first_lists,
    second_day,
    second_lists,
)

GROUP = range(37, 74)
"""Users of the second row group."""
SCENARIO = "score.scenarios.cart={list_length: 3}"


def erase_users(shop: Shop, users: range) -> Manifest:
    """Erase users; return the manifest of the first day's dataset without them."""
    names = shop.workspace / "erased.txt"
    names.write_text("".join(f"u{user}\n" for user in users))
    key = shop.workspace / "key"
    key.write_text("0123456789abcdef0123456789abcdef")
    key.chmod(0o600)
    erase(shop.config(f"privacy.key_file={key}"), users=names)
    return read_manifest(shop.workspace, "datasets", shop.first.id, Manifest)


def test_after_an_erasure_of_a_whole_row_group_the_others_keep_their_lists(tmp_path: Path) -> None:
    shop = first_day(tmp_path, SCENARIO)
    first_lists(shop, SCENARIO)
    left = erase_users(shop, GROUP)
    lists = read_manifest(tmp_path, "lists", "first", ListsManifest)
    assert len(lists.files["lists"]) == len(left.row_groups("users")) == 4
    kept, full, num_kept = second_lists(shop, second_day(shop._replace(first=left)), SCENARIO)
    assert kept == full
    some = (u for u, own in enumerate(shop.histories) if own and u not in {*ACTIVE, *GROUP})
    assert num_kept == 2 * len([*some])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[120] ^= 1  # in the first page: size and footer stay
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["lists", "users", "histories"])
def test_a_damaged_earlier_file_means_that_no_list_is_kept(part: str, tmp_path: Path) -> None:
    shop = first_day(tmp_path)
    path = first_lists(shop) / part_name(1)
    if part != "lists":
        path = tmp_path / "datasets" / shop.first.id / part / "part-00000.parquet"
    second = second_day(shop)
    content = bytearray(path.read_bytes())
    content[120] ^= 1  # in the first page: size and footer stay
    path.write_bytes(content)
    with pytest.raises(NotKeptError, match=rf"{path.parent.name}/{path.name}.* is damaged"):
        second_lists(shop, second)


def test_lists_of_a_dataset_with_other_columns_of_events_are_others(tmp_path: Path) -> None:
    shop = first_day(tmp_path)
    config = shop.config()
    column = Column(name=f"{HISTORY_CONTEXT}device", kind="sequence", dtype="int32")
    other = shop.first.model_copy(update={"columns": {"histories": (column,)}})
    one, two = (basis_of_lists(shop, config, dataset) for dataset in (shop.first, other))
    assert one.keys() == two.keys() and one != two
