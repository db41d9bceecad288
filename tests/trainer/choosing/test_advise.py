from dataclasses import replace
from pathlib import Path

import pytest

from conf.settings.load import load_config, write_changed
from conf.settings.rules.uses import without_effect
from conf.settings.train import Train
from tests.packaging.checkout import CHECKOUT
from tests.trainer.small_parts import write_config, write_dataset
from trainer.choosing.advise import _assumed, advise, expected_cost, run, what_does_not_fit
from trainer.choosing.dataset_profile import Profile
from trainer.cluster.machine import Machine, this_machine

LAPTOP = Machine(cores=2, memory_gib=16, gpus=0, gpu_memory_gib=0, has_bf16=False, gflops=100)
SERVER = Machine(cores=32, memory_gib=200, gpus=4, gpu_memory_gib=80, has_bf16=True, gflops=50_000)
SHOP = Profile(
    users=22_000, items=12_000, events=131_000, median_length=6, long_length=15, cold_share=0.0,
    event_types=1, event_features=(), item_features=(), labels=(), logged_negatives=False,
)  # fmt: skip
FILMS = replace(SHOP, users=6_000, items=3_400, events=980_000, median_length=96, long_length=400)


def test_few_events_are_counted_and_not_learnt() -> None:
    assert advise(replace(SHOP, events=5000), LAPTOP).settings["train.algorithm"] == "ease"
    many_items = replace(SHOP, events=5000, items=90_000)
    assert advise(many_items, LAPTOP).settings["train.algorithm"] == "item_knn"


def test_logged_impressions_are_ranked() -> None:
    logged = replace(SHOP, labels=("clicked",), logged_negatives=True)
    assert advise(logged, LAPTOP).settings["train.algorithm"] == "ranking"
    short = replace(logged, median_length=1)
    histories = [advise(p, LAPTOP).settings["train.ranking.history"] for p in (logged, short)]
    assert histories == ["target_attention", "none"]
    drawn = replace(SHOP, labels=("clicked",), logged_negatives=False)
    assert advise(drawn, LAPTOP).settings["train.algorithm"] == "neural"


def test_rare_items_get_dropout_and_many_events_width() -> None:
    rare, frequent = advise(SHOP, LAPTOP).settings, advise(FILMS, LAPTOP).settings
    assert (rare["train.model.width"], rare["train.model.dropout"]) == (256, 0.6)
    assert (frequent["train.model.width"], frequent["train.model.dropout"]) == (256, 0.3)
    assert frequent["train.model.history_length"] == 200
    assert advise(FILMS, SERVER).settings["train.model.blocks"] == 2
    fewer = advise(replace(SHOP, events=90_000), LAPTOP).settings
    assert (fewer["train.model.width"], fewer["train.model.dropout"]) == (128, 0.5)
    assert advise(SHOP, SERVER).settings["train.model.width"] == 512


def test_large_catalogues_draw_negatives_and_huge_ones_save_memory() -> None:
    assert advise(FILMS, LAPTOP).settings["train.loss.kind"] == "cross_entropy"
    assert advise(SHOP, LAPTOP).settings["train.loss.kind"] == "sampled_softmax"
    quick = advise(SHOP, replace(LAPTOP, has_bf16=True)).settings
    assert (quick["train.loss.kind"], quick["train.precision"]) == ("cross_entropy", "auto")
    large = advise(replace(SHOP, items=500_000), LAPTOP).settings
    assert large["train.loss.kind"] == "sampled_softmax"
    assert "train.optimizer.embeddings" not in large
    huge = advise(replace(SHOP, items=20_000_000), LAPTOP).settings
    assert huge["train.optimizer.embeddings"] == "rowwise_adagrad"


def test_a_model_that_counts_is_named_beside_the_network_where_it_takes_seconds() -> None:
    said, many = (advise(p, LAPTOP).reasons for p in (SHOP, replace(SHOP, items=500_000)))
    assert any("12,000 items a counting model" in reason for reason in said)
    assert not any("a counting model" in reason for reason in many)


def test_each_gpu_gets_a_worker() -> None:
    settings = advise(SHOP, SERVER).settings
    assert (settings["train.workers"], settings["train.gpus_per_worker"]) == (4, 1)
    assert settings["train.precision"] == "auto"
    assert advise(SHOP, LAPTOP).settings["train.cpus_per_worker"] == "auto"


def test_items_that_training_lacks_are_told_of() -> None:
    said = advise(replace(SHOP, cold_share=0.2), LAPTOP).reasons
    assert any("20% of the validation events" in reason for reason in said)
    assert not any("validation events" in reason for reason in advise(SHOP, LAPTOP).reasons)


def test_features_speak_for_items_that_training_lacks() -> None:
    known = replace(SHOP, cold_share=0.2, item_features=("item_colour", "item_image"))
    assert advise(known, LAPTOP).settings["train.model.content.features"] == "all"
    counted = advise(replace(known, events=5000), LAPTOP)
    assert "train.model.content.features" not in counted.settings


def test_what_histories_tell_of_events_is_taken() -> None:
    told = replace(SHOP, event_types=2, event_features=("history_context_device",))
    settings = advise(told, LAPTOP).settings
    assert settings["train.model.event_types"] is True
    assert settings["train.model.event_features"] == "all"
    assert "train.model.event_features" not in advise(SHOP, LAPTOP).settings


def test_histories_that_are_not_very_long_are_for_a_recurrent_network() -> None:
    assert advise(SHOP, LAPTOP).settings["train.model.encoder"] == "gru"
    assert advise(FILMS, LAPTOP).settings["train.model.encoder"] == "gru"
    assert advise(FILMS, SERVER).settings["train.model.encoder"] == "attention"


@pytest.mark.parametrize("machine", [LAPTOP, SERVER])
def test_a_counting_model_gets_no_setting_that_it_does_not_use(machine: Machine) -> None:
    settings = advise(replace(SHOP, events=5_000), replace(machine, has_bf16=True)).settings
    train = Train.model_validate({"algorithm": settings["train.algorithm"]})
    assert train.algorithm == "ease" and settings["train.gpus_per_worker"] == 0
    assert [without_effect(key.removeprefix("train."), train) for key in settings] == [None] * 4


def test_every_choice_has_a_reason_with_its_figure() -> None:
    advice = advise(SHOP, LAPTOP)
    assert len(advice.reasons) >= 5
    assert any("131,000" in reason for reason in advice.reasons)


def test_cost_grows_with_events_and_falls_with_speed() -> None:
    settings = advise(SHOP, LAPTOP).settings
    cost = expected_cost(SHOP, LAPTOP, settings)
    more = expected_cost(replace(SHOP, events=262_000), LAPTOP, settings)
    faster = expected_cost(SHOP, replace(LAPTOP, gflops=200), settings)
    assert cost is not None and more is not None and faster is not None
    assert more["seconds_per_epoch"] == pytest.approx(2 * cost["seconds_per_epoch"], rel=0.05)
    assert faster["seconds_per_epoch"] == pytest.approx(cost["seconds_per_epoch"] / 2, rel=0.05)


def test_the_estimate_is_for_the_epochs_and_the_patience_that_are_given() -> None:
    settings = advise(SHOP, LAPTOP).settings
    cost = expected_cost(SHOP, LAPTOP, settings)
    fewer = expected_cost(SHOP, LAPTOP, {**settings, "train.epochs": 6})
    patient = expected_cost(SHOP, LAPTOP, {**settings, "train.patience_epochs": 2})
    assert cost is not None and fewer is not None and patient is not None
    assert (cost["epochs"], fewer["epochs"]) == (30, 6)
    assert fewer["minutes"] == pytest.approx(cost["minutes"] / 5, abs=0.1)
    assert cost["fewest_minutes"] == cost["minutes"] == patient["minutes"]
    assert patient["fewest_minutes"] == pytest.approx(cost["minutes"] / 10, abs=0.1)


@pytest.mark.parametrize(
    ("written", "told", "untold"),
    [
        ({}, "after 6 of them", "of your file"),
        ({"epochs": 3}, "the train.epochs=3 of your file would take 0.5 minutes", "above"),
        ({"patience_epochs": 30}, "is for all 30 epochs advised here", "may end"),
    ],
)
def test_advice_tells_which_epochs_its_estimate_is_for(
    written: dict[str, int], told: str, untold: str
) -> None:
    said = _assumed(Train.model_validate(written), {"epochs": 30, "seconds_per_epoch": 10.0})
    assert told in said and untold not in said


def test_this_machine_has_cores_memory_and_speed() -> None:
    machine = this_machine()
    assert machine.cores >= 1 and machine.memory_gib > 0.1 and machine.gflops > 0.5


def test_advice_fits_what_the_configuration_has_otherwise(tmp_path: Path) -> None:
    """Of few events: a model that counts, which bears no network's or ranking model's settings."""
    write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    for changes in (
        ["train.algorithm=ranking", "train.metric=auc", "etl.impressions={labels: {a: [view]}}"],
        ["train.refit=everything", "train.save_optimizer=true"],
        ["train.warm_start.model=current"],
    ):
        path = write_config(tmp_path)
        found = run(load_config(path, changes), dataset_id="small")
        write_changed(path, changes, found["settings"], tmp_path / "advised.yaml", found["because"])
        assert load_config(tmp_path / "advised.yaml").train.algorithm == "ease"


def test_advice_to_rank_fits_a_rating_and_the_most_workers() -> None:
    changes = ["train.algorithm=ranking", "train.metric=rmse", "train.ranking.loss=mse",
               "etl.impressions={labels: {bought: [purchase]}}"]  # fmt: skip
    train = load_config(CHECKOUT / "conf/demo.yaml", changes).train
    settings = advise(replace(SHOP, labels=("clicked",), logged_negatives=True), SERVER).settings
    servers = settings | {"train.workers": train.max_workers + 1}
    assert what_does_not_fit(train, servers) == {
        "train.metric": "rmse", "train.workers": train.max_workers,
    }  # fmt: skip
