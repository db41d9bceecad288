"""Rules about the places of a list: caps, pins and boosts, as they are for one dataset.

Legend of shapes: V catalogue, M items that some user may get, N items of a block, U users,
G groups of users.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED
from conf.errors import ConfigError
from conf.settings.lists.rules import ListRules
from serving.rules.allowed import GroupMasks
from serving.rules.conditions import Conditions
from serving.rules.sql import Expression


class CapRule(NamedTuple):
    """Most items with one value of a field."""

    name: str
    most: int
    within: int | None
    """Neighbouring places; None: all places."""
    codes: np.ndarray
    """[V] int64, a number for each value; -1 for none."""


class ShareRule(NamedTuple):
    """Items that have at least a share of all places."""

    name: str
    at_least: Fraction
    is_in: np.ndarray
    """[V] bool"""

    def quota(self, user_idx: np.ndarray, list_length: int) -> np.ndarray:
        """Return how many places of each list they have: [N] int64.

        It follows from the user's number alone, so that it is the same for any parts. The quotas of
        the first users add up to their share of the places, rounded up.

        Args:
            user_idx: [N] numbers of the users.
            list_length: Places of a list.
        """
        share = self.at_least * list_length
        over, under = share.numerator, share.denominator
        first = user_idx.astype(np.int64) - NUM_RESERVED
        quota: np.ndarray = -(-(first + 1) * over // under) + (-first * over // under)
        return quota


def share_rules(rules: ListRules, conditions: Conditions) -> list[ShareRule]:
    """Return the shares with their items.

    Args:
        rules: The section.
        conditions: With all items.

    Raises:
        ConfigError: When a condition is wrong, or uses fields of users.
    """
    found = []
    for name, share in rules.shares.items():
        key = f"score.rules.shares.{name}"
        condition = conditions.checked(f"{key}.where", share.where)
        if condition.user_fields:
            raise ConfigError(
                f"{key}.where uses fields of users ({', '.join(sorted(condition.user_fields))}), "
                "but it says which items have the share; use fields of items"
            )
        holds = conditions.of_items(condition).holds
        is_in = np.concatenate([np.zeros(NUM_RESERVED, dtype=bool), holds])
        at_least = Fraction(str(share.at_least))
        found.append(ShareRule(key, at_least, is_in))
    return found


class PinRule(NamedTuple):
    """An item at a place of its own."""

    name: str
    item: int
    place: int
    """From 0."""
    where: Expression | None
    """For which users; None: for all."""


class BoostRule(NamedTuple):
    """A change of scores."""

    name: str
    is_factor: bool
    values: np.ndarray
    """[V] float32: factors or sums; 1 or 0 where nothing changes."""
    where: Expression | None
    """A condition with fields of users; None: it is in `values`."""


class Boosts(NamedTuple):
    """Changes of the scores of some users."""

    least_score: float | None
    rules: tuple[tuple[bool, Tensor, GroupMasks | None], ...]
    """Of each rule: whether it is a factor, [M] values, and where it counts; None: everywhere."""

    @property
    def only_cuts(self) -> bool:
        """See `serving.rules.allowed.Adjusting`."""
        return not self.rules

    def apply(self, start: int, scores: Tensor) -> None:
        """See `serving.rules.allowed.Adjusting`."""
        if self.least_score is not None:
            scores.masked_fill_(scores < self.least_score, -torch.inf)
        for is_factor, values, masks in self.rules:
            value = values[start : start + len(scores)].to(scores.device)  # [N]
            rows = (value != (1 if is_factor else 0)).nonzero()[:, 0]
            some = scores[rows]
            changed = _changed(is_factor, some, value[rows, None])
            if masks is not None:
                counts = ~masks.barred(start, start + len(scores)).to(scores.device)
                changed = torch.where(counts[rows], changed, some)
            scores[rows] = changed

    def bounds(self, start: int, size: int, peaks: Tensor) -> tuple[Tensor, Tensor]:
        """See `serving.rules.allowed.Adjusting`."""
        lowest = highest = self._cut(peaks)  # [U, C]
        for is_factor, values, _ in self.rules:
            neutral = 1.0 if is_factor else 0.0
            some = values[start : start + peaks.shape[1] * size]
            padded = F.pad(some, (0, peaks.shape[1] * size - len(some)), value=neutral)
            chunks = padded.view(-1, size).to(peaks.device)  # [C, size]
            least, most = chunks.amin(1), chunks.amax(1)  # [C]
            if bool((least == most).all()) and bool((least == neutral).all()):
                continue
            lowest = _changed(is_factor, lowest, least.clamp(max=neutral))
            highest = _changed(is_factor, highest, most.clamp(min=neutral))
        return lowest, highest

    def at(self, places: Tensor, users: Tensor, scores: Tensor) -> Tensor:
        """See `serving.rules.allowed.Adjusting`."""
        scores = self._cut(scores)  # [P, N]
        for is_factor, values, masks in self.rules:
            own = torch.arange(scores.shape[1], device=places.device)
            place = (places[:, None] + own).clamp(max=len(values) - 1)  # [P, N]
            changed = _changed(is_factor, scores, values.to(scores.device)[place])
            if masks is not None:
                user = users.cpu().numpy()[:, None]
                barred = torch.from_numpy(masks.barred_pairs(user, place.cpu().numpy()))
                changed = torch.where(barred.to(scores.device), scores, changed)
            scores = changed
        return scores

    def _cut(self, scores: Tensor) -> Tensor:
        if self.least_score is None:
            return scores
        return scores.masked_fill(scores < self.least_score, -torch.inf)

    def of_pairs(self, user: np.ndarray, place: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """See `serving.rules.allowed.Adjusting`."""
        found = scores.copy()
        if self.least_score is not None:
            found[scores < self.least_score] = -np.inf
        for is_factor, values, masks in self.rules:
            by = values.numpy()[place]
            changed = np.where(found >= 0, found * by, found / by) if is_factor else found + by
            if masks is not None:
                changed = np.where(masks.barred_pairs(user, place), found, changed)
            found = changed
        return found

    def of(self, users: Tensor) -> "Boosts":
        """See `serving.rules.allowed.Adjusting`."""
        chosen = users.cpu().numpy()
        return Boosts(
            self.least_score,
            tuple(
                (is_factor, values, None if masks is None else masks.of(chosen))
                for is_factor, values, masks in self.rules
            ),
        )


def _changed(is_factor: bool, scores: Tensor, by: Tensor) -> Tensor:
    """Return the scores times factors, or plus sums; a negative score is divided by its factor.

    It rises with the score and with the change, also after rounding.
    """
    return torch.where(scores >= 0, scores * by, scores / by) if is_factor else scores + by


def of_users(condition: Expression) -> Expression:
    """Return a condition that says for which users a rule counts.

    Raises:
        ConfigError: When it uses fields of items.
    """
    if condition.item_fields:
        raise ConfigError(
            f"{condition.key} uses fields of items ({', '.join(sorted(condition.item_fields))}), "
            "but it says for which users the rule counts; use fields of users, such as user.region"
        )
    return condition


def boost_rules(rules: ListRules, conditions: Conditions, num_items: int) -> list[BoostRule]:
    """Return the changes of scores: first factors, then sums.

    Args:
        rules: The section.
        conditions: With all items.
        num_items: Items without the reserved numbers.

    Raises:
        ConfigError: When an expression is wrong, or a factor is not above 0.
    """
    found = []
    for name, boost in rules.boosts.items():
        key, is_factor = f"score.rules.boosts.{name}", boost.times is not None
        neutral = 1.0 if is_factor else 0.0
        given = boost.times if is_factor else boost.add
        change = _numbers(f"{key}.{'times' if is_factor else 'add'}", given, neutral, conditions,
                          num_items)  # fmt: skip
        if not np.isfinite(change).all() or (is_factor and (change <= 0).any()):
            raise ConfigError(
                f"{key}: {given!r} is not {'above 0' if is_factor else 'finite'} for some items; "
                "use greatest(...), or a condition in where"
            )
        where = None if boost.where is None else conditions.checked(f"{key}.where", boost.where)
        if where is not None and not where.user_fields:
            change = np.where(conditions.of_items(where).holds, change, neutral)
            where = None
        values = np.concatenate([np.full(NUM_RESERVED, neutral), change]).astype(np.float32)
        found.append(BoostRule(key, is_factor, values, where))
    return sorted(found, key=lambda one: not one.is_factor)


def _numbers(
    key: str, given: float | str | None, neutral: float, conditions: Conditions, num_items: int
) -> np.ndarray:
    """Return a number for each item; where it is null nothing changes."""
    if not isinstance(given, str):
        return np.full(num_items, given, dtype=np.float64)
    expression = conditions.checked(key, given, "number")
    if expression.user_fields:
        raise ConfigError(
            f"{key} uses fields of users ({', '.join(sorted(expression.user_fields))}); it takes "
            "fields of items only, and where takes both"
        )
    numbers, is_null = conditions.numbers_of_items(expression)
    return np.where(is_null, neutral, numbers)


def cap_rules(rules: ListRules, items: pa.Table) -> list[CapRule]:
    """Return the caps with a number for each value.

    Args:
        rules: The section.
        items: Fields of the items, without the reserved numbers.

    Raises:
        ConfigError: When there is no such field.
    """
    found = []
    for name, cap in rules.caps.items():
        if name not in items.schema.names:
            raise ConfigError(
                f"score.rules.caps.{name}: items have no field {name}; there are "
                f"{', '.join(items.schema.names)}"
            )
        encoded = items.column(name).combine_chunks().dictionary_encode()
        codes = np.full(NUM_RESERVED + items.num_rows, -1, dtype=np.int64)
        codes[NUM_RESERVED:] = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        found.append(CapRule(f"score.rules.caps.{name}", cap.most, cap.within, codes))
    return found


def pin_rules(
    rules: ListRules, numbers: Mapping[str, int], wheres: Mapping[str, Expression]
) -> list[PinRule]:
    """Return the pins in the order in which they are placed.

    Args:
        rules: The section.
        numbers: The number of each pin's item, by the pin's name; without unknown items.
        wheres: The conditions of pins that have one, by name.
    """
    pins = [
        PinRule(f"score.rules.pins.{name}", numbers.get(name, NO_ITEM), pin.position - 1,
                wheres.get(name))
        for name, pin in rules.pins.items()
    ]  # fmt: skip
    return sorted(pins, key=lambda pin: pin.place)
