"""Who counts for a canary, and who for the lists of the others."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from conf.command.printing.tables import print_result
from tests.serving.outcome.published_shop import (
    START,
    Lists,
    config_of,
    counted,
    list_ids,
    members_of,
    publish_history,
    row_of,
    write_lists,
    write_shop,
)

USERS, SHARE = 40, 0.4


def canary_at_noon(workspace: Path) -> np.ndarray:
    """Publish a canary and the next lists within one day; return who is in the canary: [U] bool.

    The lists of `old` have i2, those of the canary `new` i3, and those of `next` i4.
    """
    write_shop(workspace, USERS, 8)
    for name, first in (("old", 0), ("new", 1), ("next", 2)):
        write_lists(workspace, name, Lists(np.full((USERS, 1), first)))
    publish_history(
        workspace, ("old", START, 1), ("new", START + 100, SHARE), ("next", START + 200, 1)
    )
    return members_of(USERS, SHARE)


@pytest.mark.parametrize("shown", ["seen", "null"])
def test_both_groups_of_a_canary_are_counted_from_its_publication_to_the_next(
    tmp_path: Path, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All users see everything before, during and after it, on one day."""
    is_in = canary_at_noon(tmp_path)
    events = [
        (f"u{user}", f"i{item}", START + second, "seen")
        for second in (50, 150, 160, 250) for user in range(USERS) for item in (2, 3, 4)
    ]  # fmt: skip

    result = counted(config_of(tmp_path, f"outcome.shown={shown}"), events)

    base = USERS - int(is_in.sum())
    counts = {row["version"]: (row["users"], row["shown"]) for row in result["versions"]}
    assert counts == {
        "old": (USERS, USERS + base), "new": (USERS - base, USERS - base), "next": (USERS, USERS),
    }  # fmt: skip
    [pair] = result["comparisons"]
    assert (pair["canary"], pair["base"], pair["share"]) == ("new", "old", SHARE)
    for side, number in (("of_canary", USERS - base), ("of_base", base)):
        assert (pair[side]["users"], pair[side]["shown"]) == (number, number)
    assert not any("its share is" in note for note in result["notes"])
    assert {row["version"]: row["canary"] for row in result["versions"]} == {
        "old": None, "new": SHARE, "next": None,
    }  # fmt: skip
    print_result(result)
    for text in (capsys.readouterr().out, Path(result["page"]).read_text()):
        assert "new (canary, 40%), default lists" in text and "next, default lists" in text


@pytest.mark.parametrize("gone", ["old", "new"])
def test_a_canary_is_not_compared_with_lists_that_are_gone(tmp_path: Path, gone: str) -> None:
    canary_at_noon(tmp_path)
    shutil.rmtree(tmp_path / "lists" / gone)
    events = [
        (f"u{user}", f"i{item}", START + 150, "seen") for user in range(USERS) for item in (2, 3)
    ]

    result = counted(config_of(tmp_path), events)

    assert result["gone"] == [gone] and result["ledger"]["shown"]["counted"]
    assert result["comparisons"] == []
    assert result["notes"][-1] == f"lists that are gone are not counted: {gone}"


def test_users_are_compared_by_their_group_whatever_list_they_saw(tmp_path: Path) -> None:
    """The app of half of the canary's users still has the list of before, and it sells."""
    is_in = canary_at_noon(tmp_path)
    ids = {name: list_ids(tmp_path / "lists" / name) for name in ("old", "new")}
    late = np.flatnonzero(is_in)[::2]
    events, lists = [], []
    for user in range(USERS):
        saw = "new" if is_in[user] and user not in late else "old"
        item = {"old": "i2", "new": "i3"}[saw]
        events.append((f"u{user}", item, START + 150, "seen"))
        lists.append(ids[saw][f"u{user}"])
    events += [(f"u{user}", "i2", START + 160, "buy") for user in late]
    lists += [ids["old"][f"u{user}"] for user in late]

    result = counted(config_of(tmp_path, "outcome.list_id=list"), events, columns={"list": lists})

    assert result["ledger"]["shown"] == {
        "read": USERS, "counted": USERS - len(late), "counted_of_another_list": len(late),
    }  # fmt: skip
    [pair] = result["comparisons"]
    canary, base = pair["of_canary"], pair["of_base"]
    assert (canary["users"], canary["acted"]) == (is_in.sum(), len(late))
    assert (base["users"], base["acted"]) == (USERS - is_in.sum(), 0)
    assert row_of(result, "new")["users"] == is_in.sum() - len(late)
