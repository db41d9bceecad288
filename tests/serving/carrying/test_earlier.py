"""Which earlier version lists are kept of."""

import shutil
from pathlib import Path

import pytest

from conf.contract import ListsManifest
from conf.workspace.pointers import publish
from conf.workspace.versions import commit, read_manifest
from serving.carrying.earlier import base_of
from tests.serving.carrying.two_days import Shop, basis_of_lists, first_day, first_lists, second_day
from tests.serving.tiny_shop import DAY


def publish_copy(shop: Shop, version: str, *, fits: bool, share: float = 1.0) -> None:
    """Publish a copy of the first lists, which fits or has another basis."""
    lists = shop.workspace / "lists"
    shutil.copytree(lists / "first", lists / version)
    first = read_manifest(shop.workspace, "lists", "first", ListsManifest)
    basis = first.basis if fits else dict.fromkeys(first.basis, "0" * 64)
    commit(shop.workspace, "lists", first.model_copy(update={"id": version, "basis": basis}))
    publish(shop.workspace, "lists", version, DAY, share=share)


def test_the_newest_version_that_fits_is_the_base_also_a_canary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = first_day(tmp_path)
    first_lists(shop)
    second = second_day(shop)
    basis = basis_of_lists(shop, shop.config(), second)

    def base() -> str | None:
        found = base_of(tmp_path, second, basis)
        return None if found is None else found.lists_id

    with caplog.at_level("INFO"):
        assert base() == "first"
        publish_copy(shop, "other-1", fits=False)
        publish_copy(shop, "other-2", fits=False)
        assert base() == "first" and "cannot reuse lists" not in caplog.text
        publish_copy(shop, "other-3", fits=False)
        assert base() is None  # looking further back is not worth it
        assert "cannot reuse lists of other-3: they were made with another model" in caplog.text
        publish_copy(shop, "canary", fits=True, share=0.2)
        assert base() == "canary"


def test_with_other_numbers_no_list_is_kept_and_the_log_says_what_to_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = first_day(tmp_path)
    first_lists(shop)
    again = shop.first.vocabularies["item"].model_copy(update={"fingerprint": "other"})
    vocabularies = {**shop.first.vocabularies, "item": again}
    second = shop.first.model_copy(update={"vocabularies": vocabularies})
    with caplog.at_level("INFO"):
        assert base_of(tmp_path, second, basis_of_lists(shop, shop.config(), second)) is None
    assert "cannot reuse lists of first: items have other numbers" in caplog.text
    assert "etl.vocabulary: extend" in caplog.text
