"""The section `score.similar_items`: lists for pages of items."""

from typing import Literal

from pydantic import field_validator

from conf.settings.lists.rules import ListRules
from conf.settings.section import Positive, Section


class SimilarItems(Section):
    """Lists of similar items, one for every item."""

    count: Positive = 10
    """Items in each list; fewer if the model finds fewer."""
    by: Literal["model", "vectors"] = "model"
    """model: what the model recommends to somebody whose only event is this item, so what comes
    next. vectors: items whose vectors point in the same direction, so what is alike; only with a
    network or als."""
    rules: ListRules | None = None
    """Rules of these lists, in place of those of `score.rules` that exclude items for everybody:
    `where`, `allow`, `deny`, `caps`, `boosts` and `least_score`, without fields of users. null:
    those of `score.rules`; {}: none."""

    @field_validator("rules")
    @classmethod
    def _are_about_items(cls, rules: ListRules | None) -> ListRules | None:
        if rules is None:
            return None
        keys = [key for key in ("leave_out", "fatigue", "pins", "shares") if getattr(rules, key)]
        for kind, lists in (("allow", rules.allow), ("deny", rules.deny)):
            keys += [f"{kind}.{name}.where" for name, one in lists.items() if one.where is not None]
        if keys:
            raise ValueError(
                f"{', '.join(keys)} need users, and these are lists of items; remove them"
            )
        return rules
