"""Which items each audience is for.

Legend of shapes: M items of an audience, I items of the dataset without the reserved numbers.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from conf.contract import NUM_RESERVED, Manifest
from conf.errors import ConfigError, InputError
from conf.privacy.log_ids import as_in_dataset
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.lists.audiences import Audience
from conf.settings.score import Score
from serving.rules.compiled import with_now
from serving.rules.conditions import Conditions
from serving.rules.placing import of_users
from serving.rules.reading.given import Given
from serving.rules.reading.tables import no_users, read_item_fields
from serving.rules.sql import Expression
from serving.scoring.list_model import ListModel, is_personal
from serving.scoring.picks import read_picks

log = logging.getLogger(__name__)
_KEY = "score.audiences."


def _can_find(score: Score, model: ListModel) -> bool:
    """Return whether audiences are asked for and this model can find them; else warn."""
    if not score.audiences:
        return False
    if model.scorer is not None and is_personal(model.scorer):
        return True
    log.warning(
        "score: model %s (%s) does not score the catalogue for each user by the history, so there "
        "are no audiences; train another algorithm for them",
        model.bundle.id,
        model.bundle.algorithm,
    )
    return False


def conditions_of(dataset: Path, manifest: Manifest, score: Score, given: Given) -> Conditions:
    """Return what evaluates the conditions of audiences."""
    return Conditions(
        with_now(read_item_fields(dataset, manifest), given),
        no_users(dataset, manifest),
        logical_date=manifest.logical_date,
        threads=score.cpus_per_worker,
    )


def users_conditions(score: Score, conditions: Conditions) -> dict[str, Expression]:
    """Return the condition on users of each audience that has one.

    Raises:
        ConfigError: When one is wrong, or uses fields of items.
    """
    return {
        name: of_users(conditions.checked(f"{_KEY}{name}.users", audience.users))
        for name, audience in score.audiences.items()
        if audience.users is not None
    }


def items_of_audiences(
    config: Config,
    manifest: Manifest,
    model: ListModel,
    item_ids: pa.Array,
    given: Given,
    files: Mapping[str, Sequence[InputFile]],
) -> dict[str, np.ndarray]:
    """Return the numbers of each audience's items, none if there are no audiences: [M] int64.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        model: The main model.
        item_ids: Ids of its items, null for the reserved numbers.
        given: What conditions read besides the dataset.
        files: By dotted name.

    Raises:
        ConfigError: When a condition is wrong, or no item of the dataset is meant.
        InputError: When a file has no item of the dataset.
    """
    score = config.score
    if not _can_find(score, model):
        return {}
    dataset = Path(config.run.output) / "datasets" / manifest.id
    conditions = conditions_of(dataset, manifest, score, given)
    users_conditions(score, conditions)  # wrong ones are told before any work
    places = {text: place for place, text in enumerate(item_ids.to_pylist()) if text is not None}
    found = {}
    for name, audience in score.audiences.items():
        key = f"{_KEY}{name}"
        if audience.where is not None:
            found[name] = _that_meet(key, audience.where, conditions)
        else:
            ids = _ids(config, manifest, key, audience, files)
            found[name] = np.array(sorted(places[one] for one in ids if one in places))
        if not len(found[name]):
            raise ConfigError(
                f"{key} names no item of dataset {manifest.id}; correct "
                f"{'where' if audience.where is not None else 'item'}"
            )
    return found


def _that_meet(key: str, where: str, conditions: Conditions) -> np.ndarray:
    condition = conditions.checked(f"{key}.where", where)
    if condition.user_fields:
        raise ConfigError(
            f"{key}.where uses fields of users ({', '.join(sorted(condition.user_fields))}), but "
            f"it says which items the users are for; use fields of items, and {key}.users"
        )
    return np.flatnonzero(conditions.of_items(condition).holds) + NUM_RESERVED


def _ids(
    config: Config,
    manifest: Manifest,
    key: str,
    audience: Audience,
    files: Mapping[str, Sequence[InputFile]],
) -> Sequence[str]:
    if audience.item is not None:
        return [as_in_dataset(config, manifest, "item", f"reading {key}")(audience.item)]
    if key not in files:
        raise InputError(f"{key}.path={audience.path!r} is no file; name an existing one")
    return read_picks(config, manifest, key, files[key][0].path)
