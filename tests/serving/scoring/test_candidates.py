"""Lists of candidates from several channels, against plain Python on the models' own scores."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from conf.contract import HISTORY_ITEMS, NUM_RESERVED, ListsManifest, Manifest
from conf.errors import ConfigError, InputError, VersionError
from conf.runs.inputs.request_keys import LISTS_CODE, lists_request
from conf.runs.looking import run_show, run_status
from conf.runs.stages import run_score, run_train
from conf.settings.config import Config
from conf.workspace.hashes import canonical_hash
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest
from serving.gates.list_counts import check_lists
from serving.publishing.parts import read_item_ids
from serving.rules.guaranteed import Guaranteed
from serving.rules.possible import Pools
from tests.serving.impression_shop import item_ids, shop_config, write_shop
from tests.serving.tiny_shop import read_lists
from tests.trainer.small_parts import ragged
from trainer.models.bundle import load_scorer

CHANNELS = (
    "net: {from: model, count: 4}, chain: {from: markov, count: 4}, "
    "pop: {from: popularity, count: 5, by: country}, picks: {from: list, path: picks.txt, count: 3}"
)
PICKS = ["i7", "i9", "i8", "i30"]


def candidates(inner: str = CHANNELS) -> str:
    return f"score.candidates={{{inner}}}"


def prepared(workspace: Path) -> Path:
    write_shop(workspace)
    (workspace / "picks.txt").write_text("i7\n\ni9\nnope\ni8\ni30\ni9\n")
    return workspace


@pytest.fixture(scope="module")
def made(
    shared_ray: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, dict[str, Any], dict[str, Any]]:
    workspace = prepared(tmp_path_factory.mktemp("shop"))
    config = shop_config(workspace, "ranker=null", candidates())
    return config, run_train(config), run_score(config)


@pytest.fixture(scope="module")
def trained(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with the main model and picks."""
    workspace = prepared(tmp_path_factory.mktemp("trained"))
    run_train(shop_config(workspace, "ranker=null"))
    return workspace


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Path:
    """A copy of that shop."""
    return Path(shutil.copytree(trained, tmp_path / "shop"))


def by_score(scores: np.ndarray, seen: set[int], count: int) -> list[int]:
    items = [i for i in range(NUM_RESERVED, len(scores)) if i not in seen and scores[i] > -np.inf]
    return sorted(items, key=lambda item: (-scores[item], item))[:count]


def test_lists_are_the_best_of_the_fused_ranks(
    made: tuple[Config, dict[str, Any], dict[str, Any]],
) -> None:
    config, trained, scored = made
    workspace = Path(config.run.output)
    dataset = workspace / "datasets/shop"
    manifest = read_manifest(workspace, "datasets", "shop", Manifest)
    names = read_item_ids(dataset, manifest).to_pylist()
    histories = [row[HISTORY_ITEMS] for row in pq.read_table(dataset / "histories").to_pylist()]
    countries = pq.read_table(dataset / "users")["country"].to_pylist()
    train = [row[HISTORY_ITEMS] for row in pq.read_table(dataset / "train").to_pylist()]
    scores = {
        role: load_scorer(workspace, model)[1].scores(ragged(histories), np.arange(60)).numpy()
        for role, model in (("net", trained["id"]), ("chain", trained["roles"]["chain"]["id"]))
    }
    rows = read_lists(Path(scored["folder"]))
    for user, history in enumerate(histories):
        seen, counts = set(history), np.zeros(len(names))
        for other, country in enumerate(countries):
            if countries[user] in (None, country):
                np.add.at(counts, train[other], 1)
        counts[counts == 0] = -np.inf
        named = {name: by_score(scores[name][user], seen, 4) for name in ("net", "chain")}
        named["pop"] = by_score(counts, seen, 5)
        picked = [names.index(item) for item in PICKS]
        named["picks"] = [item for item in picked if item not in seen][:3]
        fused: dict[int, float] = {}
        for items in named.values():
            for rank, item in enumerate(items, 1):
                fused[item] = fused.get(item, 0.0) + 1 / (60 + rank)
        best = sorted(fused, key=lambda item: (-fused[item], item))[:5]
        mine = [row for row in rows if row["user_id"] == f"u{user}"]
        assert [row["item_id"] for row in mine] == [names[item] for item in best]
        assert [row["score"] for row in mine] == pytest.approx([fused[item] for item in best])
        assert [row["channels"] for row in mine] == [
            [name for name, items in named.items() if item in items] for item in best
        ]


def test_models_of_channels_are_roles_and_the_lists_say_so(
    made: tuple[Config, dict[str, Any], dict[str, Any]],
) -> None:
    config, trained, scored = made
    workspace, chain = Path(config.run.output), trained["roles"]["chain"]["id"]
    lists = read_manifest(workspace, "lists", scored["id"], ListsManifest)
    assert lists.models == {"chain": chain} and run_status(config)["roles"]["chain"]["id"] == chain
    rows = read_lists(Path(scored["folder"]))
    assert lists.channels == {
        name: sum(name in row["channels"] for row in rows)
        for name in ("chain", "net", "picks", "pop")
    }
    assert current_version(workspace, "models", "chain") == chain
    assert run_train(config)["status"] == run_score(config)["status"] == "already done"
    shown = run_show(config, "u3")["list"]
    assert [row["channels"] for row in shown] == [
        row["channels"] for row in rows if row["user_id"] == "u3"
    ]


@pytest.mark.usefixtures("scored_here")
def test_another_list_makes_other_lists(
    made: tuple[Config, dict[str, Any], dict[str, Any]],
) -> None:
    config, _, scored = made
    path = Path(config.run.output) / "picks.txt"
    before = path.read_text()
    path.write_text("i8\n")
    assert run_score(config)["id"] != scored["id"]
    path.write_text(before)
    assert run_score(config)["id"] == scored["id"]


@pytest.mark.usefixtures("scored_here")
def test_one_channel_of_the_main_model_gives_its_own_lists(workspace: Path) -> None:
    plain = shop_config(workspace, "ranker=null")
    alone = read_lists(Path(run_score(plain)["folder"]))
    one = shop_config(workspace, "ranker=null", candidates("m: {from: model, count: 7}"))
    fused = read_lists(Path(run_score(one)["folder"]))
    keys = ("user_id", "position", "item_id", "reasons", "source")
    assert [[row[key] for key in keys] for row in alone] == [
        [row[key] for key in keys] for row in fused
    ]
    assert "channels" not in alone[0] and fused[0]["channels"] == ["m"]


@pytest.mark.usefixtures("shared_ray", "scored_here")
def test_a_channel_of_the_main_models_kind_is_the_main_model(tmp_path: Path) -> None:
    write_shop(tmp_path)
    config = shop_config(tmp_path, "ranker=null", candidates("k: {from: item_knn, count: 5}"))
    assert "roles" not in run_train(config)
    assert all(run_score(config)["gates"].values())


def test_what_is_not_asked_for_is_not_in_the_key(tmp_path: Path) -> None:
    config = shop_config(tmp_path, "ranker=null")
    named = {"list_length", "block_users", "block_items", "drop_seen", "reasons"}
    section = config.score.model_dump(mode="json", include=named)
    made_of = [*LISTS_CODE[:2], "lists", section, "d", "m"]
    assert lists_request(config, "d", "m") == canonical_hash(made_of)


@pytest.mark.usefixtures("scored_here")
def test_a_role_that_was_never_trained_stops_the_lists(workspace: Path) -> None:
    config = shop_config(workspace, "ranker=null", candidates("chain: {from: markov, count: 5}"))
    with pytest.raises(VersionError, match=r"role chain\) has no current version"):
        run_score(config)


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        ("a: {from: model, count: 2}", r"score\.list_length=5, but the channels .* name 2 items"),
        ("main: {from: model, count: 9}", "'main' is the role of another model"),
        ("model: {from: popularity, count: 9}", "'model' is reserved for a source of items"),
        ("fallback: {from: model, count: 9}", "'fallback' is reserved for a source of items"),
        ("explored: {from: model, count: 9}", "'explored' is reserved for a source of items"),
        ("a: {from: markov, count: 9, by: country}", r"by='country' is only for popularity"),
        ("a: {from: popularity, count: 9, by: town}", r"by='town' is no field of input\.users"),
        ("a: {from: list, count: 9}", "from is 'list', but path is missing"),
        ("a: {from: ease, path: x, count: 9}", r"path='x' is only for from: list"),
        ("a: {from: magic, count: 9}", r"score\.candidates\.a\.from='magic'"),
        ("a: {form: model, count: 9}", r"a\.form: unknown key; did you mean .*a\.from"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, inner: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        shop_config(tmp_path, "ranker=null", candidates(inner))


@pytest.mark.usefixtures("scored_here")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"score\.candidates\.p: no file matches .*correct input\.root or .*p\.path$"),
        (b"nope\nno\n", "has 2 item ids, and dataset shop has none of them"),
        (b"\xff\xfe\x00", r"score\.candidates\.p: .*is not UTF-8"),
    ],
)
def test_a_list_that_cannot_be_used_is_an_error_of_the_input(
    workspace: Path, content: bytes | None, told: str
) -> None:
    (workspace / "picks.txt").unlink()
    if content is not None:
        (workspace / "picks.txt").write_bytes(content)
    config = shop_config(
        workspace, "ranker=null", candidates("p: {from: list, path: picks.txt, count: 9}")
    )
    with pytest.raises(InputError, match=told):
        run_score(config)


@pytest.mark.usefixtures("scored_here")
def test_a_short_list_of_candidates_has_that_reason(workspace: Path) -> None:
    """Three of four picks may be seen, so what is left is fewer than five."""
    config = shop_config(
        workspace, "ranker=null", candidates("p: {from: list, path: picks.txt, count: 9}"),
        "score.gates.short_lists.warn_above=1",
    )  # fmt: skip
    scored = run_score(config)
    assert scored["short_lists"] == {"few_candidates": scored["counts"]["lists"]}
    assert scored["counts"]["unexplained"] == 0 and scored["counts"]["recommendable_items"] == 4
    reason = run_show(config, "first")["why_short"]
    assert "raise their counts" in reason["meaning"]


def test_the_gate_counts_by_itself_what_the_channels_must_name() -> None:
    """A user's list lacks items that a channel of five would have named for sure."""
    import pyarrow as pa

    from serving.publishing.parts import CHANNELS_SCHEMA

    ids = pa.array([None, None, *item_ids(8)], pa.string())
    pool = np.array([False, False] + [True] * 8)
    rows = [{"user_id": "u", "position": place + 1, "item_id": f"i{place + 3}", "score": 1.0,
             "source": "model", "reasons": None, "why_fallback": None, "why_short": None,
             "channels": ["c"]} for place in range(3)]  # fmt: skip
    lists = pa.Table.from_pylist(rows, schema=CHANNELS_SCHEMA)

    def unexplained(most: int, *, is_personal: bool, history: list[int]) -> int:
        found = check_lists(
            lists, pa.array(["u"]), pa.array([history], pa.list_(pa.int32())), ids,
            Pools(pool, pool), list_length=4, drop_seen=True,
            guaranteed=[Guaranteed(pool, most, is_personal)],
        )  # fmt: skip
        return found.counts["unexplained"]

    assert unexplained(4, is_personal=True, history=[2]) == 1
    assert unexplained(3, is_personal=True, history=[2]) == 0
    assert unexplained(4, is_personal=True, history=[1]) == 0  # the channel knows nothing of it
    assert unexplained(4, is_personal=False, history=[1]) == 1
