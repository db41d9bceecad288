"""The models of a run by role: the main one, the ranker, and those that name candidates.

Each role has its own pointer, gate and key; the section `train` of the configuration that a role
is trained with is the role's own.
"""

from collections.abc import Iterator
from pathlib import Path

from conf.contract import MAIN, RANKER
from conf.errors import ConfigError
from conf.runs.results import Result
from conf.settings.choosing import Compare, Tune
from conf.settings.config import Config
from conf.settings.counting import Counting
from conf.settings.model import RANKING_METRICS
from conf.settings.score import Channel
from conf.settings.train import Train
from conf.workspace.pointers import published_roles

ALREADY_DONE = "already done"


def config_of(config: Config, role: str) -> Config:
    """Return the configuration whose section `train` is that of a role.

    Raises:
        ConfigError: When the configuration trains no model for this role.
    """
    if role == MAIN:
        return config
    found = dict(role_configs(config))
    if role not in found:
        known = ", ".join([MAIN, *found])
        raise ConfigError(
            f"--role={role!r}: this configuration has no such role; it has {known}. The section "
            "ranker adds the role ranker"
        )
    return found[role]


def role_configs(config: Config, main: str | None = None) -> Iterator[tuple[str, Config]]:
    """Yield each role that a run trains after the main model, with its configuration.

    Args:
        config: The run's configuration.
        main: Algorithm of the main model, which serves channels of that kind too; None: none.
    """
    if config.ranker is not None:
        train = config.ranker.model_copy(update={"max_workers": config.train.max_workers})
        yield RANKER, _with_train(config, train)
    for name, channel in config.score.trained_channels.items():
        if channel.source != main:
            yield name, _with_train(config, _of_channel(channel, config.train))


def _with_train(config: Config, train: Train) -> Config:
    """Return the configuration of a role: without what is about the main model and the lists."""
    plain: Result = {
        "candidates": None, "objective": {}, "value": None, "context": {}, "scenarios": {},
    }  # fmt: skip
    alone = {
        "train": train,
        "ranker": None,
        "score": config.score.model_copy(update=plain),
        "compare": Compare(),
        "tune": Tune(),
    }
    return config.model_copy(update=alone)


def _of_channel(channel: Channel, train: Train) -> Train:
    """Return the section `train` of a channel: a counting model, which passes no gate."""
    kept = (
        "workers", "max_workers", "cpus_per_worker", "gpus_per_worker", "refit", "metrics_at",
        "eval_batch_rows", *(() if train.metric in RANKING_METRICS else ("metric",)),
    )  # fmt: skip
    name = channel.source
    counting = {name: getattr(train.counting, name)} if hasattr(train.counting, name) else {}
    return Train.model_validate(
        {
            **{key: getattr(train, key) for key in kept},
            "algorithm": name,
            "counting": Counting(**counting),
            "baselines": (),
            "gate": "none",
        }
    )


def with_roles(main: Result, roles: Result) -> Result:
    """Return the result of a training with those of its further roles."""
    if not roles:
        return main
    done = all(part["status"] == ALREADY_DONE for part in (main, *roles.values()))
    return {**main, **({} if done else {"status": _first_other(main, roles)}), "roles": roles}


def _first_other(main: Result, roles: Result) -> str:
    statuses = [part["status"] for part in (main, *roles.values())]
    return str(next(status for status in statuses if status != ALREADY_DONE))


def require_role(workspace: Path, kind: str, role: str) -> None:
    """Refuse a role that no version was published for.

    Raises:
        ConfigError: When there is none.
    """
    known = [MAIN, *published_roles(workspace, kind)]
    if role not in known:
        raise ConfigError(
            f"--role={role!r}: nothing is published for it in {workspace / kind}; roles there: "
            f"{', '.join(known)}"
        )
