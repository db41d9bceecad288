"""Every kind of network, and what counts, through `headrace compare` on the generated log."""

from typing import Any

import pytest

from tests.end2end.conftest import Shop

ENCODERS = ("attention", "bidirectional", "gru", "cnn", "caser", "mean")
LOSSES = ("sampled_softmax", "gbce", "bce", "bpr")
# Plain products learn in few epochs with the little width and the high rate of so quick a training.
SETTINGS = (
    "train.epochs=12", "train.batch_rows=16", "train.optimizer.learning_rate=0.01",
    "train.optimizer.decay=none", "train.model.similarity=dot", "train.model.temperature=1.0",
    "train.model.dropout=0.2",
)  # fmt: skip
COUNTING = ("popularity", "recent_popularity", "markov", "item_knn", "ease", "als")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_encoder_and_loss_beats_popularity(finished_shop: tuple[Shop, Any]) -> None:
    shop, _ = finished_shop
    models = {
        **{name: f"{{model: {{encoder: {name}}}}}" for name in ENCODERS},
        "gated": "{model: {encoder: attention, gated: true, positions: rotary, time_gaps: true}}",
        **{name: f"{{loss: {{kind: {name}, num_negatives: 32}}}}" for name in LOSSES},
        "by_row": "{loss: {kind: sampled_softmax, num_negatives: 32}, "
        "optimizer: {embeddings: rowwise_adagrad}}",
        **{name: f"{{algorithm: {name}}}" for name in COUNTING},
        "blend": "{algorithm: hybrid, hybrid: {members: [markov, item_knn, ease]}}",
    }
    listed = ", ".join(f"{name}: {changes}" for name, changes in models.items())

    compared = shop.run(
        "compare",
        f"compare.models={{{listed}}}",
        *SETTINGS,
        "compare.reference=popularity",
        timeout=3000,
    )

    found = {name: row["ndcg@10"]["value"] for name, row in compared["models"].items()}
    networks = [*ENCODERS, "gated", *LOSSES, "by_row"]
    worse = {name: found[name] for name in networks if found[name] <= found["popularity"]}
    assert not worse, found
    surely = [name for name in networks if compared["differences"][name]["low"] > 0]
    assert len(surely) > len(networks) / 2, compared["differences"]
    assert found["blend"] > found["popularity"]
    reasons = compared["models"]["ease"]["reasons"]
    assert reasons["users"] > 50 and reasons["score_falls_without_the_reason"] > 0.9
