"""The table of accuracy, from runs made by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.quality import studied
from tests.bench.quality.kept_runs import Run, keep, kept_runs
from tests.bench.quality.studies import Published, Study, chosen
from tests.bench.quality.table import table, tables

STUDY = Study(
    "toy",
    "conf/beauty.yaml",
    "toy",
    published=(Published("SASRec", (0.0605, 0.0318), "some paper"),),
)


def run(seed: int, hr: float, ndcg: float, refitted: float | None = None) -> Run:
    test = {
        "model": {"hr@10": hr, "ndcg@10": ndcg},
        "markov": {"hr@10": 0.0665, "ndcg@10": 0.0438},
    }
    refit = None
    if refitted is not None:
        figures = {"model": {"hr@10": refitted, "ndcg@10": refitted / 2}}
        refit = {"trained_on": "with_valid", "epochs": 31, "seconds": 300.0, "test": figures}
    return Run(
        study="toy", config="conf/beauty.yaml", changes=[], configuration="abc", seed=seed,
        valid={"ndcg@10": 0.06}, test=test, refit=refit, blend=None, best_epoch=30,
        epochs=30 + seed, training_seconds=100.4 * seed, cpu_seconds=200.0, parameters=7,
        machine="2 cores", versions={"torch": "2.13.0"}, date="2026-11-26",
    )  # fmt: skip


def test_figures_are_means_with_the_deviation_over_the_seeds() -> None:
    made = table(STUDY, [run(1, 0.08, 0.045), run(2, 0.082, 0.046), run(3, 0.084, 0.047)])

    # Of 1, 2, 3 the mean is 2 and the sample's deviation 1.
    assert "| headrace | training part | .0820 ± .0020 | .0460 ± .0010 | 3 |" in made
    assert "| markov | training part | .0665 | .0438 | 3 |" in made
    assert "| SASRec | some paper | .0605 | .0318 |  |" in made
    assert "(31 to 33 epochs; 100 to 301 s of training; 2 cores)" in made
    assert "validation part" not in made


def test_refitted_weights_stand_in_a_row_of_their_own() -> None:
    made = table(STUDY, [run(1, 0.08, 0.045), run(2, 0.082, 0.046, refitted=0.1)])

    assert "| headrace | training part | .0810 ± .0014 | .0455 ± .0007 | 2 |" in made
    assert "| headrace | training and validation part | .1000 | .0500 | 1 |" in made


def test_runs_of_different_configurations_are_told() -> None:
    runs = [run(1, 0.08, 0.045), replace(run(2, 0.08, 0.045), configuration="other")]

    assert "DIFFERENT configurations" in table(STUDY, runs)
    assert "DIFFERENT configurations" not in table(STUDY, runs[:1])


def test_a_run_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    first, second = run(2, 0.08, 0.045), run(1, 0.09, 0.05, refitted=0.1)
    for made in (first, second, replace(first, date="2026-11-27")):
        keep(made, tmp_path)

    assert kept_runs(tmp_path) == [second, replace(first, date="2026-11-27")]


def test_studies_are_chosen_by_name_or_group() -> None:
    assert [study.name for study in chosen(["movielens-1m"])] == ["movielens-1m"]
    assert {study.folder for study in chosen(["beauty-encoders"])} == {"beauty"}
    assert len(chosen(["beauty-encoders"])) == 5 < len(chosen([]))
    with pytest.raises(ValueError, match="no study beuty; there are beauty, "):
        chosen(["beuty"])


def test_every_study_has_a_configuration_that_its_changes_fit() -> None:
    hashes = {study.name: studied.configuration(study) for study in chosen([])}

    assert len(set(hashes.values())) == len(hashes)


def test_kept_runs_are_not_made_again_and_absent_data_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [replace(run(seed, 0.08, 0.045), study="beauty") for seed in (1, 2, 3)]
    monkeypatch.setattr(studied, "kept_runs", lambda: runs)
    (tmp_path / "s3rec_beauty").mkdir()  # empty: a run that was made would fail

    studied.main(["--only", "beauty", "movielens-1m", "--data", str(tmp_path)])

    told = capsys.readouterr().out
    assert "beauty, seed 3: kept, of another configuration" in told
    assert f"movielens-1m: left out, as {tmp_path / 'ml-1m'} is absent" in told
    assert tables(runs) in told
