"""A model that does not fit, or that has seen what is held out, is no beginning."""

import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from conf.contract import Bundle, Manifest
from conf.errors import HeadraceError
from conf.settings.etl import Split
from conf.workspace.versions import commit, read_manifest
from tests.trainer.deliveries import (
    configured,
    make_deliveries,
)
from trainer.algorithms.members import published_member
from trainer.retrieval.warm_start import _holds_out_more, require_fitting


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, str]:
    return make_deliveries(tmp_path_factory.mktemp("warm"))


def changed_bundle(workspace: Path, model: str, **update: Any) -> str:
    """Commit a copy of a model with something of its bundle changed."""
    bundle = read_manifest(workspace, "models", model, Bundle)
    folder = workspace / "models" / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(workspace / "models" / model, folder)
    commit(workspace, "models", bundle.model_copy(update={"id": "changed", **update}))
    return "changed"


@pytest.mark.parametrize(
    ("overrides", "update", "code", "problem"),
    [
        (["train.model.width=4"], {}, 6, r"another shape: train\.model\.width 8 there, 4 here"),
        (["train.model.encoder=gru"], {}, 6, r"train\.model\.encoder attention there, gru here"),
        (["train.optimizer.kind=sgd"], {}, 6, r"state of train\.optimizer\.kind=adamw, and sgd"),
        ([], {"algorithm": "ease"}, 6, r"has train\.algorithm=ease, but neural is needed"),
        ([], {"learned_from_erased": "yes"}, 6, r"=changed learned from users who were erased"),
        ([], {"learned_from_erased": "unknown"}, 6, r"may have learned .*model=null to train from"),
        ([], {"logical_date": "2026-02-01"}, 6, r"is of 2026-02-01, after 2026-01-31"),
        ([], {"vocabularies": "others"}, 6, r"item vocabulary \(14 numbers, others\) that the one"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    made: tuple[Path, Manifest, str],
    overrides: Sequence[str],
    update: dict[str, Any],
    code: int,
    problem: str,
) -> None:
    workspace, manifest, model = made
    if "vocabularies" in update:
        bundle = read_manifest(workspace, "models", model, Bundle)
        item = bundle.vocabularies["item"].model_copy(update={"fingerprint": "others"})
        update = {"vocabularies": {**bundle.vocabularies, "item": item}}
    name = changed_bundle(workspace, model, **update)
    config = configured(workspace, f"train.warm_start.model={name}", *overrides)

    with pytest.raises(HeadraceError, match=problem) as raised:
        require_fitting(config, manifest)

    assert raised.value.exit_code == code


def test_a_model_that_has_seen_what_is_held_out_is_refused(
    made: tuple[Path, Manifest, str],
) -> None:
    workspace, manifest, model = made
    config = read_manifest(workspace, "models", model, Bundle).config
    anew = changed_bundle(
        workspace, model, config={**config, "train": {**config["train"], "refit": "everything"}}
    )
    with pytest.raises(HeadraceError, match=r"trained again with train\.refit=everything"):
        require_fitting(configured(workspace, f"train.warm_start.model={anew}"), manifest)

    for changes, problem in (
        ({"split": {"kind": "random"}}, r"etl\.split\.kind='random' is not in time order"),
        (
            {"split": {"kind": "leave_last_n", "num_targets": 5}},
            r"\(kind=leave_last_n, num_targets=5\) here and was \(kind=leave_one_out\) there",
        ),
        ({"repeated_items": "last"}, r"etl\.repeated_items='last' moves .* to a user's newest"),
        ({"repeated_items": "strongest"}, r"etl\.repeated_items='strongest' moves .* to a user's"),
    ):
        etl = {**manifest.config["etl"], **changes}
        other = manifest.model_copy(update={"config": {**manifest.config, "etl": etl}})
        with pytest.raises(HeadraceError, match=problem) as raised:
            require_fitting(configured(workspace, f"train.warm_start.model={model}"), other)
        assert raised.value.exit_code == 2

    with pytest.raises(
        HeadraceError, match=r"warm_start\.model=x is only for train\.algorithm='neural'"
    ):
        configured(workspace, "train.algorithm=ease", "train.warm_start.model=x")
    with pytest.raises(HeadraceError, match="it is not a committed version") as raised:
        require_fitting(configured(workspace, "train.warm_start.model=none"), manifest)
    assert raised.value.exit_code == 6


def test_a_blend_takes_no_network_that_learned_from_erased_users(
    made: tuple[Path, Manifest, str],
) -> None:
    workspace, manifest, model = made
    for learned, is_taken in (("no", True), ("yes", False), ("unknown", False)):
        name = changed_bundle(workspace, model, dataset_id=manifest.id, learned_from_erased=learned)
        if is_taken:
            assert published_member(configured(workspace), manifest, name).figures == {"id": name}
            continue
        with pytest.raises(
            HeadraceError, match=r"train\.hybrid\.neural=changed .*erased"
        ) as raised:
            published_member(configured(workspace), manifest, name)
        assert raised.value.exit_code == 6


def test_a_cut_in_time_may_move_on_but_not_back() -> None:
    def cut(day: int | None, **more: Any) -> Split:
        valid_from = None if day is None else date(2026, 3, day)
        test_from = None if day is None else date(2026, 3, day + 2)
        return Split(kind="temporal", valid_from=valid_from, test_from=test_from, **more)

    assert not _holds_out_more(cut(5), cut(5)) and not _holds_out_more(cut(7), cut(5))
    assert not _holds_out_more(cut(None), cut(None))
    assert _holds_out_more(cut(4), cut(5)) and _holds_out_more(cut(5), cut(None))
    assert _holds_out_more(cut(None, valid_share=0.2), cut(None))
