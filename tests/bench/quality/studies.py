"""What `tests.bench.quality` measures, and the published figures that stand beside it.

A published figure is a fact about somebody else's run: it is quoted with its source, and whether
its weights had seen the validation item is told only where the source tells it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Published:
    """A figure that others have published, or a floor that was measured on the same files."""

    model: str
    figures: tuple[float, ...]
    """In the order of the study's `figures`."""
    source: str


@dataclass(frozen=True)
class Study:
    """One configuration, trained from several seeds on one dataset."""

    name: str
    config: str
    """File of the checkout; studies of one file share a dataset."""
    data: str
    """Folder under the data's root."""
    changes: tuple[str, ...] = ()
    """Changes to the configuration, as the command line takes them."""
    group: str = ""
    """A name for several studies together."""
    figures: tuple[str, ...] = ("hr@10", "ndcg@10")
    seeds: tuple[int, ...] = (1, 2, 3)
    published: tuple[Published, ...] = ()
    log: Literal["published", "random_quarter", "cold_items"] = "published"
    """What is trained on: a log as it was published; its events with a random quarter of each user
    held out, drawn by the seed (`random_quarter`); without a tenth of the items (`cold_beauty`)."""

    network: str = ""
    """Study of the same data whose network, of the same seed, a blend takes; "": it trains one."""

    @property
    def folder(self) -> str:
        """Name of its dataset's folder."""
        return Path(self.config).stem


_SASREC_STUDY = "arXiv 2309.07602 (antklen/sasrec-bert4rec-recsys23)"
_GSASREC = "asash/gSASRec-pytorch"
_REPORTED = "as reported in blondered/transformer_benchmark"
_CALCULATED = "as calculated in blondered/transformer_benchmark"
_RECOMMENDERS = "recommenders-team/recommenders, README"
_BARS = "BARS leaderboard, Frappe_x1"

BEAUTY = (
    Published("SASRec", (0.0605, 0.0318), _REPORTED),
    Published("HSTU", (0.0788, 0.0439), _CALCULATED),
    Published("SASRec with sampled softmax", (0.0921, 0.0531), _CALCULATED),
    Published("eSASRec", (0.0928, 0.0523), _CALCULATED),
)
MOVIELENS_1M = (
    Published("SASRec", (0.2500, 0.1341), _SASREC_STUDY),
    Published("BERT4Rec", (0.2843, 0.1537), _SASREC_STUDY),
    Published("gSASRec, 256 negatives", (0.3003, 0.1726), _GSASREC),
    Published("SASRec+, full cross-entropy", (0.3152, 0.1821), _SASREC_STUDY),
    Published("SASRec, 3,000 sampled negatives", (0.3159, 0.1857), _SASREC_STUDY),
)
FRAPPE = (
    Published("LR", (0.9356, 0.3076), _BARS),
    Published("FM", (0.9671, 0.2065), _BARS),
    Published("DNN", (0.9833, 0.1622), _BARS),
    Published("DeepFM", (0.9842, 0.1482), _BARS),
    Published("DLRM", (0.9840, 0.1444), _BARS),
    Published("DCNv2", (0.9845, 0.1491), _BARS),
    Published("FinalMLP", (0.9861, 0.1484), _BARS),
    Published("FinalNet", (0.9857, 0.1311), _BARS),
)
MOVIELENS_100K = (
    Published("BiVAE", (0.475,), _RECOMMENDERS),
    Published("BPR", (0.442,), _RECOMMENDERS),
    Published("LightGCN", (0.420,), _RECOMMENDERS),
    Published("NCF", (0.396,), _RECOMMENDERS),
    Published("SAR", (0.382,), _RECOMMENDERS),
)


def _encoder(name: str) -> Study:
    """Return a study of one encoder, with settings that were chosen for none of them."""
    changes = (
        f"train.model.encoder={name}", "train.model.width=128", "train.model.dropout=0.5",
        "train.epochs=20", "train.refit=none",
    )  # fmt: skip
    return Study(
        f"beauty-{name}", "conf/beauty.yaml", "s3rec_beauty", changes, group="beauty-encoders"
    )


def _cold(name: str, features: str) -> Study:
    return Study(
        f"beauty-cold-{name}", "tests/bench/quality/cold-beauty.yaml", "s3rec_beauty",
        (f"train.model.content.features={features}",), group="beauty-cold", log="cold_items",
    )  # fmt: skip


STUDIES = (
    Study("beauty", "conf/beauty.yaml", "s3rec_beauty", published=BEAUTY),
    Study(
        "beauty-hybrid", "conf/beauty.yaml", "s3rec_beauty",
        ("train.algorithm=hybrid", "train.hybrid.members=[neural,markov,item_knn,ease]"),
    ),
    *(_encoder(name) for name in ("gru", "attention", "cnn", "caser", "mean")),
    _cold("none", "none"), _cold("attributes", "[item_attributes]"), _cold("all", "all"),
    Study("movielens-1m", "conf/movielens-1m.yaml", "ml-1m", published=MOVIELENS_1M),
    Study(
        "movielens-1m-hybrid", "conf/movielens-1m.yaml", "ml-1m",
        ("train.algorithm=hybrid", "train.hybrid.members=[neural,markov,item_knn,ease]"),
        network="movielens-1m",
    ),
    Study(
        "frappe-x1", "conf/frappe-x1.yaml", "frappe", figures=("auc", "log_loss"),
        seeds=(1, 2, 3, 4, 5), published=FRAPPE,
    ),
    Study(
        "movielens-100k-random", "tests/bench/quality/movielens-100k-random.yaml", "ml-100k",
        figures=("ndcg@10",), published=MOVIELENS_100K, log="random_quarter",
    ),
)  # fmt: skip


def chosen(names: Sequence[str]) -> list[Study]:
    """Return the studies of these names or groups, all for none; names that there are not raise.

    Raises:
        ValueError: With the unknown names and the known ones.
    """
    known = {name for study in STUDIES for name in (study.name, study.group)} - {""}
    if unknown := sorted(set(names) - known):
        raise ValueError(f"no study {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [study for study in STUDIES if not names or {study.name, study.group} & set(names)]
