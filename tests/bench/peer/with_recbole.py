"""RecBole's SASRec on a log of sequences, timed epoch by epoch.

`python peer_recbole.py LOG FOLDER SEED THREADS TARGET EPOCHS` runs in an environment that has
RecBole alone, so it imports nothing of ours. It prints one JSON object a line on stdout: the
settings, then each epoch with its seconds and CPU seconds, and validation NDCG@10 of the full
ranking once as RecBole ranks, with the items of the history among the candidates, and once without
them. It stops when the first of the two has reached TARGET.
"""

import gzip
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

TOP = 10
SETTINGS: dict[str, Any] = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "TIME_FIELD": "timestamp",
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "MAX_ITEM_LIST_LENGTH": 50,
    "hidden_size": 64,
    "n_layers": 1,
    "loss_type": "CE",
    "train_neg_sample_args": None,  # cross-entropy is over the whole catalogue
    "train_batch_size": 512,
    "eval_args": {
        "split": {"LS": "valid_and_test"},
        "group_by": "user",
        "order": "TO",
        "mode": "full",
    },
    "metrics": ["NDCG"],
    "topk": [TOP],
    "valid_metric": "NDCG@10",
    "metric_decimal_place": 6,
    "use_gpu": False,
    "show_progress": False,
    "state": "ERROR",
}
"""All else is RecBole's own default."""
_DEFAULTS = ("n_heads", "inner_size", "hidden_dropout_prob", "attn_dropout_prob", "learner",
             "learning_rate", "eval_batch_size")  # fmt: skip


class _ReachedError(Exception):
    """The figure that was to be reached is reached."""


class TimedTrainer(Trainer):
    """RecBole's trainer, with a clock on each epoch and the ranking without seen items."""

    def __init__(self, config: Config, model: SASRec, target: float) -> None:
        super().__init__(config, model)
        self.target, self.figures = target, {}

    def _train_epoch(self, *args: Any, **kwargs: Any) -> Any:
        with _Clock() as clock:
            loss = super()._train_epoch(*args, **kwargs)
        self.figures = {"loss": loss, "seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds}
        return loss

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> Any:
        self.gains, self.users, self.own_seconds = 0.0, 0, 0.0
        with _Clock() as clock:
            score, result = super()._valid_epoch(*args, **kwargs)
        taken = {"valid_seconds": clock.seconds - self.own_seconds}
        self.figures |= {**taken, "kept": score, "dropped": self.gains / self.users}
        return score, result

    def _full_sort_batch_eval(self, batched_data: Any) -> Any:
        found = super()._full_sort_batch_eval(batched_data)
        with _Clock() as clock:
            interaction, scores, _, items = found
            wanted = scores.gather(1, items[:, None])
            unseen = scores.scatter(1, interaction["item_id_list"], -torch.inf)
            ranks = (unseen >= wanted).sum(1)
            self.gains += float((1 / torch.log2(ranks + 1.0))[ranks <= TOP].sum())
            self.users += len(ranks)
        self.own_seconds += clock.seconds
        return found

    def tell(self, epoch: int, score: float) -> None:
        """Print an epoch's figures; raise where the target is reached."""
        print(json.dumps({"epoch": epoch, **self.figures}), flush=True)
        if score >= self.target:
            raise _ReachedError


class _Clock:
    """Seconds and CPU seconds of a block."""

    def __enter__(self) -> "_Clock":
        self.started, self.cpu_before = time.monotonic(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.started
        self.cpu_seconds = time.process_time() - self.cpu_before


def write_interactions(log: Path, folder: Path) -> None:
    """Write a log with "user item item ..." a line as RecBole's atomic file."""
    is_packed = log.suffix == ".gz"
    (folder / "log").mkdir(parents=True, exist_ok=True)
    with (
        gzip.open(log, "rt") if is_packed else log.open() as lines,
        (folder / "log/log.inter").open("w") as out,
    ):
        out.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for line in lines:
            user, *items = line.split()
            out.writelines(f"{user}\t{item}\t{place}\n" for place, item in enumerate(items))


def main(log: Path, folder: Path, *, seed: int, threads: int, target: float, epochs: int) -> None:
    """Train until the target, and print as the module says."""
    torch.set_num_threads(threads)
    torch.autograd.set_detect_anomaly(False)  # RecBole's import leaves it on, which costs a third
    write_interactions(log, folder)
    paths = {"data_path": str(folder), "checkpoint_dir": str(folder / "saved")}
    limits = {"seed": seed, "epochs": epochs, "stopping_step": epochs}
    config = Config(model="SASRec", dataset="log", config_dict={**SETTINGS, **paths, **limits})
    init_seed(seed, reproducibility=True)
    dataset = create_dataset(config)
    train, valid, _ = data_preparation(config, dataset)
    model = SASRec(config, train.dataset).to(config["device"])
    chosen = {name: config[name] for name in (*SETTINGS, *_DEFAULTS)}
    sizes = {"rows": len(train.dataset), "items": dataset.item_num, "valid": len(valid.dataset)}
    print(json.dumps({"settings": chosen, "threads": torch.get_num_threads(), **sizes}), flush=True)
    trainer = TimedTrainer(config, model, target)
    try:
        trainer.fit(train, valid, verbose=False, saved=False, callback_fn=trainer.tell)
    except _ReachedError:
        return


if __name__ == "__main__":
    logging.getLogger().setLevel(logging.ERROR)
    _, log_path, folder_path, seed, threads, target, epochs = sys.argv
    main(
        Path(log_path), Path(folder_path), seed=int(seed), threads=int(threads),
        target=float(target), epochs=int(epochs),
    )  # fmt: skip
