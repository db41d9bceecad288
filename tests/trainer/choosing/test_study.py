from pathlib import Path

import pytest

from conf.errors import VersionError
from conf.settings.choosing import Dimension, Tune
from trainer.choosing.study import (
    JOURNAL_NAME,
    Outcome,
    ask,
    importances,
    open_study,
    outcomes,
    settings_of,
    tell,
)

SPACE = {
    "optimizer.learning_rate": Dimension(low=1e-4, high=1.0, log=True),
    "model.width": Dimension(low=8, high=35, step=8),
    "optimizer.betas": Dimension(choice=([0.9, 0.98], [0.9, 0.999])),
    "loss": Dimension(choice=({"kind": "bpr"}, {"kind": "gbce", "num_negatives": 3})),
}


def figure_of(settings: dict[str, float]) -> float:
    return 1.0 - abs(settings["optimizer.learning_rate"] - 0.01)


def search(folder: Path, tune: Tune, killed_at: int | None = None) -> list[Outcome]:
    """Make all trials; killed, leave one between its start and its end and a line half written."""
    study = open_study(folder)
    while len(outcomes(study)) < tune.trials:
        number = len(outcomes(study))
        trial = ask(study, tune)
        if number == killed_at:
            with (folder / JOURNAL_NAME).open("ab") as journal:
                journal.write(b'{"op_code":6,"trial')
            return search(folder, tune)
        settings = settings_of(trial.params, tune)
        if number % 4 == 3:
            tell(folder, study, trial, Outcome("refused", settings, "", message="no"))
        else:
            outcome = Outcome("done", settings, str(number), figure_of(settings), (0.5,))
            tell(folder, study, trial, outcome)
    return outcomes(open_study(folder))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_tries_the_same_also_after_a_kill(tmp_path: Path, sampler: str) -> None:
    tune = Tune(trials=12, sampler=sampler, startup_trials=4, space=SPACE)

    whole = search(tmp_path / "whole", tune)
    killed = search(tmp_path / "killed", tune, killed_at=7)
    other = search(tmp_path / "other", tune.model_copy(update={"seed": 2}))

    assert [outcome.settings for outcome in killed] == [outcome.settings for outcome in whole]
    assert len(whole) == 12 and whole[0].settings != other[0].settings
    assert {outcome.settings["model.width"] for outcome in whole} <= {8, 16, 24, 32}
    assert {outcome.state for outcome in whole} == {"done", "refused"}
    chosen = [outcome.settings["loss"] for outcome in whole]
    assert all(loss in ({"kind": "bpr"}, {"kind": "gbce", "num_negatives": 3}) for loss in chosen)


def test_what_the_figure_hangs_on_is_most_important(tmp_path: Path) -> None:
    tune = Tune(trials=40, sampler="random", space=SPACE)
    search(tmp_path, tune)

    shares = importances(open_study(tmp_path))

    assert next(iter(shares)) == "optimizer.learning_rate" and set(shares) == set(SPACE)
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("damage", [b"#", b"\x00\x00\xff\n"])
def test_a_damaged_journal_is_told_with_its_name(tmp_path: Path, damage: bytes) -> None:
    search(tmp_path, Tune(trials=2, space=SPACE))
    journal = tmp_path / JOURNAL_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    with pytest.raises(VersionError, match=r"journal\.log is damaged: .* start the search again"):
        open_study(tmp_path)
