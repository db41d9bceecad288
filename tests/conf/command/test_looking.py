from pathlib import Path

import pytest

from conf.command.looking import looked_up
from conf.errors import HeadraceError
from tests.serving.tiny_shop import tiny_config


@pytest.mark.parametrize("asked", [("u1", None, None), (None, "i1", None), (None, None, "tents")])
def test_each_kind_of_thing_is_looked_for_in_the_workspace(
    tmp_path: Path, asked: tuple[str | None, str | None, str | None]
) -> None:
    with pytest.raises(HeadraceError):  # nothing is published here
        looked_up(tiny_config(tmp_path), *asked, None)
