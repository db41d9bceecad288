"""Rules between `train`, where it trains a ranking model, and the impressions that it learns."""

from collections.abc import Iterator

from conf.etl_schema import Etl
from conf.feature_schema import Impressions
from conf.ranking_schema import RANKING_METRICS, Ranking
from conf.train_schema import Train


def broken_ranking_rules(etl: Etl, train: Train) -> Iterator[str]:
    """Yield what is wrong, each with key, value and rule."""
    if train.algorithm != "ranking":
        if train.metric in RANKING_METRICS:
            yield (
                f"train.metric={train.metric!r} is a figure of ranking models, but "
                f"train.algorithm is {train.algorithm!r}; use one such as ndcg@10"
            )
        return
    if etl.impressions is None:
        yield (
            "train.algorithm is 'ranking', but etl.impressions is null; say there which events "
            "are labels, as in {labels: {bought: [purchase]}}"
        )
        return
    yield from _about_labels(etl.impressions, train.ranking)
    yield from _about_metric(train)
    yield from _about_sampling(etl.impressions, train.ranking)
    if train.refit != "none":
        yield (
            f"train.refit={train.refit!r}, but train.algorithm is 'ranking', which is not trained "
            "anew; use none"
        )


def _about_labels(impressions: Impressions, ranking: Ranking) -> Iterator[str]:
    for name in ranking.labels:
        if name not in impressions.labels:
            yield (
                f"train.ranking.labels.{name} is no label of etl.impressions: "
                f"{', '.join(impressions.labels)}"
            )


def _about_metric(train: Train) -> Iterator[str]:
    mse = train.ranking.loss == "mse"
    fitting = ("rmse",) if mse else RANKING_METRICS
    if train.metric not in fitting:
        yield (
            f"train.metric={train.metric!r} does not fit train.algorithm='ranking' with "
            f"train.ranking.loss={train.ranking.loss!r}; use {' or '.join(fitting)}"
        )
    if mse and train.ranking.calibration != "none":
        yield (
            f"train.ranking.calibration={train.ranking.calibration!r} maps probabilities, but "
            "train.ranking.loss is 'mse'; use none"
        )


def _about_sampling(impressions: Impressions, ranking: Ranking) -> Iterator[str]:
    if ranking.sampling != "logit":
        return
    if ranking.loss == "mse":
        yield "train.ranking.sampling is 'logit', but train.ranking.loss 'mse' has none; use weight"
    if impressions.negatives == "session":
        yield (
            "train.ranking.sampling is 'logit', but etl.impressions.negatives is 'session': how "
            "likely a positive's own item was to be drawn is not known; use weight"
        )
