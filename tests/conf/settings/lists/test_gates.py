"""Limits of gates as a configuration gives them."""

import re
from pathlib import Path

import pytest

from conf.errors import ConfigError
from tests.serving.tiny_shop import tiny_config


def test_a_limit_that_is_not_set_keeps_the_default_of_its_gate(tmp_path: Path) -> None:
    gates = tiny_config(tmp_path, "score.gates.seen_items={warn_above: 0.5}").score.gates
    assert (gates.seen_items.warn_above, gates.seen_items.refuse_above) == (0.5, 0.001)
    assert gates.recall_users == 200


@pytest.mark.parametrize("section", ["score", "score.scenarios.cart"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (".recall_users={a: 1}", ".recall_users={'a': 1}: Input should be a valid integer"),
        (".recall_users=[1]", ".recall_users=[1]: Input should be a valid integer"),
        (".seen_items=[1]", ".seen_items=[1]: is a section"),
        (".seen_items=many", ".seen_items='many': is a section"),
        (".seen_items={1: 2}", ".seen_items.1=1: Keys should be strings"),
        ("=[1]", "=[1]: is a section"),
        ("=many", "='many': is a section"),
    ],
)
def test_values_of_another_kind_are_refused(
    tmp_path: Path, section: str, value: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{section}.gates{told}")):
        tiny_config(tmp_path, f"{section}.gates{value}")
