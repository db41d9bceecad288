"""A shop with candidates that the tests of a module share."""

import pytest

from tests.serving.staged_shop import KINDS, Known, StagedShop, known_of, made_by, write_staged


@pytest.fixture(scope="module")
def staged_shop(tmp_path_factory: pytest.TempPathFactory) -> StagedShop:
    return write_staged(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def known(staged_shop: StagedShop) -> dict[str, Known]:
    return {kind: known_of(made_by(staged_shop, kind)) for kind in KINDS}
