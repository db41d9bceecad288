"""Several kinds of lists in one run: each as if it were made alone."""

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import Manifest
from conf.errors import ConfigError
from conf.runs.inputs.list_files import list_files
from conf.runs.inputs.request_keys import lists_request
from conf.settings.config import Config
from serving.kinds.prepared import Source, prepared
from serving.publishing.parts import read_item_ids
from serving.ranking import user_vectors
from serving.scoring.list_model import load_model
from serving.scoring.worker import PartScorer, ScoringJob
from tests.serving.random_shop import Shop, counted_model, random_shop
from tests.serving.tiny_shop import tiny_config

HOME = "score.scenarios.home={rules: {where: {in_stock: 'stock > 0'}, caps: {category: 2}}}"
CART = "score.scenarios.cart={list_length: 3, drop_seen: false, reasons: 1}"
NORTH = "score.scenarios.north={list_length: 6, users: \"user.region = 'north'\"}"
KINDS = [HOME, CART, NORTH]


def job_of(config: Config, manifest: Manifest, model_id: str, folder: Path) -> ScoringJob:
    workspace = Path(config.run.output)
    item_ids = read_item_ids(workspace / "datasets" / manifest.id, manifest)
    model = load_model(workspace, model_id, manifest)
    source = Source(config, manifest, model, item_ids, {}, list_files(config))
    default, *others = (one.kind for one in prepared(source, (), {}))
    job = ScoringJob(
        workspace, manifest.id, model_id, "r", folder, config.score, None,
        default.stages, default.templates, default.given, tuple(others),
    )  # fmt: skip
    for kind in job.kinds:
        kind.folder_in(folder).mkdir(parents=True)
    return job


def rows_of(folder: Path) -> pa.Table:
    """Return the lists without their ids, which differ between scenarios."""
    paths = sorted(folder.glob("part-*.parquet"))
    return pa.concat_tables(map(pq.read_table, paths)).drop_columns("list_id")


def ids_of(folder: Path) -> set[str]:
    return {row["list_id"] for path in folder.glob("part-*.parquet")
            for row in pq.read_table(path).to_pylist()}  # fmt: skip


def made(config: Config, shop: Shop, model_id: str, folder: Path) -> Path:
    worker = PartScorer(job_of(config, shop.manifest, model_id, folder))
    for part in range(len(shop.manifest.row_groups("histories"))):
        worker.score(part)
    return folder


def assert_alike(found: pa.Table, rows: pa.Table) -> None:
    """Batches of other users differ in the last bits of scores and weights, in nothing else."""
    for one, other in zip(found.to_pylist(), rows.to_pylist(), strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), rel=1e-5)
        own, others = one.pop("reasons") or [], other.pop("reasons") or []
        assert [r["item_id"] for r in own] == [r["item_id"] for r in others]
        weights = [r["weight"] for r in others]
        assert [r["weight"] for r in own] == pytest.approx(weights, abs=1e-5)
        assert one == other


@pytest.mark.parametrize("algorithm", ["neural", "item_knn"])
def test_lists_of_a_scenario_are_those_of_a_run_with_its_settings(
    tmp_path: Path, algorithm: str
) -> None:
    shop = random_shop(tmp_path, 7, users=60)
    model_id = shop.model_id if algorithm == "neural" else counted_model(shop, tmp_path)
    config = tiny_config(tmp_path, *KINDS)

    together = made(config, shop, model_id, tmp_path / "together")

    regions = {f"u{n}": user["region"] for n, user in enumerate(shop.users)}
    for name, section in config.score.sections.items():
        alone = config.model_copy(update={"score": section.model_copy(update={"scenarios": {}})})
        rows = rows_of(made(alone, shop, model_id, tmp_path / f"alone-{name}"))
        found = rows_of(together if name is None else together / name)
        assert found.num_rows > 60
        if name != "north":
            assert found.equals(rows)
            continue
        is_in = [regions[user] == "north" for user in rows["user_id"].to_pylist()]
        assert 0 < sum(is_in) < len(is_in)
        assert_alike(found, rows.filter(pa.array(is_in)))
    assert rows_of(together / "cart").num_rows == 3 * 60
    assert len(ids_of(together / "cart")) == 60
    assert ids_of(together / "cart").isdisjoint(ids_of(together))
    assert max(rows_of(together / "north")["position"].to_pylist()) == 6


def test_each_user_is_encoded_once_for_all_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = random_shop(tmp_path, 8, users=40)
    encode, asked = user_vectors.encoded, []

    def counted(scorer, histories, rows):  # type: ignore[no-untyped-def]
        asked.append(len(rows))
        return encode(scorer, histories, rows)

    monkeypatch.setattr(user_vectors, "encoded", counted)

    made(tiny_config(tmp_path, *KINDS), shop, shop.model_id, tmp_path / "made")

    assert sum(asked) == sum(bool(history) for history in shop.histories)


def test_models_and_rules_that_are_equal_are_loaded_once(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 9)
    rules = "score.rules.where.in_stock='stock > 0'"
    config = tiny_config(tmp_path, rules, CART, NORTH, "score.scenarios.free={rules: {}}")

    worker = PartScorer(job_of(config, shop.manifest, shop.model_id, tmp_path / "made"))

    default, cart, north, free = (making.maker for making in worker.makings)
    assert default.own_ranker is cart.own_ranker is north.own_ranker is free.own_ranker
    assert default.book is north.book is not None and free.book is None
    assert cart.book is not default.book  # it keeps what users have seen


def test_a_part_with_nobody_in_the_scenario_has_no_rows(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 10, users=30)
    first = {user["budget"] for user in shop.users[:11]}
    last = next(user["budget"] for user in shop.users[11:] if user["budget"] not in first)
    config = tiny_config(
        tmp_path,
        f"score.scenarios.few={{users: 'user.budget = {last}', rules: {{caps: {{category: 2}}}}}}",
    )

    folder = made(config, shop, shop.model_id, tmp_path / "made") / "few"

    assert pq.read_table(folder / "part-00000.parquet").num_rows == 0
    wanted = {f"u{n}" for n, user in enumerate(shop.users) if user["budget"] == last}
    assert {*rows_of(folder)["user_id"].to_pylist()} == wanted


@pytest.mark.parametrize("default", ["", "score.diversity={weight: 0.3, among: 12, by: size}"])
def test_a_scenario_draws_though_the_default_lists_do_not(tmp_path: Path, default: str) -> None:
    shop = random_shop(tmp_path, 5, users=40)
    config = tiny_config(
        tmp_path,
        "score.rules.where.in_stock='stock > 0'",
        "score.scenarios.new={exploration: {share: 0.2}, diversity: {weight: 0}}",
        *([default.replace("size", "category")] if default else []),
    )

    together = made(config, shop, shop.model_id, tmp_path / "together")

    found = rows_of(together / "new").to_pylist()
    drawn = [row for row in found if "explored" in (row["rules"] or ())]
    assert drawn and all(0 < row["propensity"] <= 1 for row in found)
    assert "propensity" not in rows_of(together).column_names
    alone = config.model_copy(update={"score": config.score.of_scenario("new")})
    assert rows_of(together / "new").equals(
        rows_of(made(alone, shop, shop.model_id, tmp_path / "alone"))
    )


def test_a_scenario_turns_off_what_the_default_lists_have(tmp_path: Path) -> None:
    config = tiny_config(
        tmp_path,
        "score.list_length=4",
        "score.diversity={weight: 0.3, among: 8}",
        "score.exploration={share: 0.1}",
        "score.scenarios.long={list_length: 9, diversity: {weight: 0}, exploration: {share: 0}}",
        "score.scenarios.named={diversity: {weight: 0}, exploration: {share: 0}, "
        "candidates: {top: {from: popularity, count: 10}}}",
        "score.scenarios.alike={}",
    )

    for name in ("long", "named"):
        scenario = config.score.of_scenario(name)
        assert scenario.diversity is None and scenario.exploration is None
    assert config.score.of_scenario("alike").diversity == config.score.diversity


def test_what_other_lists_and_sources_are_called_is_no_name_of_a_scenario(tmp_path: Path) -> None:
    for name, told in (("audiences", "has the folder of the audiences"),
                       ("explored", "is reserved for a source of items")):  # fmt: skip
        with pytest.raises(ConfigError, match=f"'{name}' {told}"):
            tiny_config(tmp_path, f"score.scenarios.{name}={{list_length: 3}}")


def test_the_seed_is_in_the_key_if_only_a_scenario_draws(tmp_path: Path) -> None:
    def key(seed: int, scenario: str) -> str:
        given = (f"run.seed={seed}", f"score.scenarios.a={scenario}")
        return lists_request(tiny_config(tmp_path, *given), "d", "m")

    assert key(1, "{exploration: {share: 0.2}}") != key(2, "{exploration: {share: 0.2}}")
    assert key(1, "{list_length: 3}") == key(2, "{list_length: 3}")


def test_channels_keep_their_names_in_a_scenario_with_another_order(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 6, users=40)
    picks = tmp_path / "picks.txt"
    picks.write_text("\n".join(f"i{number}" for number in range(2, 12)))
    top, own = "top: {from: list, path: picks.txt, count: 7}", "own: {from: model, count: 7}"
    config = tiny_config(
        tmp_path,
        f"input.root={tmp_path}",
        f"score.candidates={{{top}, {own}}}",
        f"score.scenarios.turned={{list_length: 6, candidates: {{{own}, {top}}}}}",
    )

    together = made(config, shop, shop.model_id, tmp_path / "together")

    alone = config.model_copy(update={"score": config.score.of_scenario("turned")})
    expected = rows_of(made(alone, shop, shop.model_id, tmp_path / "alone")).to_pylist()
    found = rows_of(together / "turned").to_pylist()
    named = [set(row["channels"] or ()) for row in found]
    assert {frozenset(names) for names in named} > {frozenset({"own"}), frozenset({"top"})}
    assert named == [set(row["channels"] or ()) for row in expected]
    assert [row["item_id"] for row in found] == [row["item_id"] for row in expected]


def test_a_warning_about_a_scenario_names_its_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = random_shop(tmp_path, 6, users=4)
    pin = "rules: {pins: {own: {item: nope, position: 1}}}"
    config = tiny_config(tmp_path, f"score.scenarios.cart={{{pin}}}")

    with caplog.at_level(logging.WARNING):
        job_of(config, shop.manifest, shop.model_id, tmp_path / "lists")

    assert "the item of score.scenarios.cart.rules.pins.own is not in the dataset" in caplog.text


@pytest.mark.parametrize(("kept", "is_told"), [("last", True), ("first", True), ("keep", False)])
def test_types_that_the_dataset_has_in_part_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: str, is_told: bool
) -> None:
    shop = random_shop(tmp_path, 6, users=4)
    of_dataset = {**shop.manifest.config, "etl": {"repeated_items": kept}}
    manifest = shop.manifest.model_copy(update={"config": of_dataset})
    bought = "leave_out: {bought: {events: [buy]}}, fatigue: {versions: 2, events: [view, buy]}"
    drawn = "exploration: {weights: thompson, successes: [view]}"
    config = tiny_config(
        tmp_path, f"score.scenarios.cart={{rules: {{{bought}}}}}", "score.scenarios.home={}",
        f"score.{drawn}".replace(": {", "={", 1),
    )  # fmt: skip

    with caplog.at_level(logging.WARNING):
        job_of(config, manifest, shop.model_id, tmp_path / "lists")

    told = [one.getMessage() for one in caplog.records if " misses some " in one.getMessage()]
    keys = {"score.scenarios.cart.rules.leave_out.bought": "buy", "score.exploration": "view"}
    assert sorted(told) == sorted(
        text
        for text in told
        for key, kind in keys.items()
        if text.startswith(f"score: {key} misses some events of the type {kind}:")
    )
    assert len(told) == len(keys) * is_told


def test_a_table_of_today_is_used_by_exploration_alone(tmp_path: Path) -> None:
    config = tiny_config(
        tmp_path,
        "input.root=nowhere",
        "score.items_now={paths: [now.csv], fields: {price: {type: number}}}",
        "score.scenarios.drawn={exploration: {share: 0.1}}",
    )

    assert config.score.of_scenario("drawn").items_now is not None


def test_a_table_of_today_counts_where_something_uses_it(tmp_path: Path) -> None:
    config = tiny_config(
        tmp_path,
        "input.root=nowhere",
        "score.items_now={paths: [now.csv], fields: {price: {type: number}}}",
        "score.diversity={weight: 0.3, by: price}",
        "score.scenarios.alike={list_length: 3}",
        "score.scenarios.plain={diversity: {weight: 0}}",
        "score.similar_items={rules: {}}",
    )

    assert config.score.of_scenario("alike").items_now == config.score.items_now
    assert config.score.of_scenario("plain").items_now is None
    assert config.score.of_similar_items.items_now is None
