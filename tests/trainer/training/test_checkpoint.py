from pathlib import Path

import torch

from trainer.training.checkpoint import KEPT, load_checkpoint, save_checkpoint


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    for number in range(5):
        save_checkpoint(tmp_path, number, {"weights": torch.full((3,), number), "step": number})

    state = load_checkpoint(tmp_path)

    assert state is not None and state["step"] == 4
    torch.testing.assert_close(state["weights"], torch.full((3,), 4))
    assert len(list(tmp_path.glob("*.pt"))) == KEPT


def test_a_cut_off_or_unvouched_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for number in range(3):
        save_checkpoint(tmp_path, number, {"step": number})
    newest = tmp_path / "00000002.pt"
    newest.write_bytes(newest.read_bytes()[:-20])
    (tmp_path / "00000003.pt").write_bytes(b"written, but no marker yet")

    state = load_checkpoint(tmp_path)

    assert state is not None and state["step"] == 1


def test_where_none_was_written_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "new") is None
