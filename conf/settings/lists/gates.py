"""The section `score.gates`: limits of figures that lists must keep to be published."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from conf.settings.section import Section, Share


class Above(Section):
    """Limits of a share that should be small; a limit that is not set has the gate's default."""

    warn_above: Share | None = None
    """Above this share there is a warning; null: none."""
    refuse_above: Share | None = None
    """Above this share nothing is published; null: it is never refused."""


class Below(Section):
    """Limits of a share that should be large; a limit that is not set has the gate's default."""

    warn_below: Share | None = None
    """Below this share there is a warning; null: none."""
    refuse_below: Share | None = None
    """Below this share nothing is published; null: it is never refused."""


class Gates(Section):
    """Limits of the figures that are measured on the written lists before they are published."""

    unexplained_short_lists: Above = Above(warn_above=0, refuse_above=0.001)
    """Share of users whose list is short or missing though there were more items for them."""
    unknown_ids: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows with a user or item that the dataset lacks."""
    duplicate_items: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows that repeat an item of their list."""
    seen_items: Above = Above(warn_above=0, refuse_above=0.001)
    """Share of rows with an item of the user's history. Not measured with
    `score.drop_seen: false` or `score.rules.leave_out`."""
    rule_violations: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows that break a rule of `score.rules`, found by evaluating the rules again on the
    written rows. Not measured without rules."""
    misplaced_rows: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows that break the sequence of positions 1, 2, 3, ..."""
    bad_scores: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows whose score is not finite, or above the one before without a rule that explains
    it. With `score.diversity` the order is not judged in the model's lists."""
    bad_propensities: Above = Above(warn_above=0, refuse_above=0)
    """Share of rows whose propensity is not above 0 and at most 1, or does not fit
    `score.exploration.share`. Not measured without `score.exploration`."""
    unscored_users: Above = Above(warn_above=0, refuse_above=0.1)
    """Share of users whose history the model knows, but for whom it computed no finite scores; they
    get the fallback list."""
    users_without_lists: Above = Above(warn_above=0.01, refuse_above=0.5)
    """Share of users for whom no item is left."""
    short_lists: Above = Above(warn_above=0.01)
    """Share of users with fewer than `score.list_length` items, for any reason."""
    fallback_lists: Above = Above(warn_above=0.5, refuse_above=0.99)
    """Share of lists that are not the model's."""
    distinct_lists: Below = Below(warn_below=0.01)
    """Share of the model's lists that differ from one another. Not measured for models that rank
    by popularity alone."""
    catalogue_coverage: Below = Below(warn_below=0.01)
    """Share of the items that the model can recommend which are in at least one of its lists. If
    its lists have fewer rows than there are such items, it is the share of as many items as
    rows."""
    overlap_with_previous: Below = Below(warn_below=0.05)
    """Mean over users of the Jaccard index of the new list and the current one. Not measured if
    nothing is published, or if the two versions have no user or no item in common."""

    users_lost: Above = Above(warn_above=0.05)
    """Share of the users of the current lists that have no list in the new ones. Not measured if
    nothing is published."""
    coverage_lost: Above = Above(warn_above=0.5)
    """Share by which the number of items in the model's lists is below that of the current lists.
    Not measured if nothing is published, or if the lists have another length."""
    candidate_recall: Below = Below()
    """Share of the best items of sampled users that are among the users' candidates. The best items
    are those of the ranker over the whole catalogue, or of the main model without one, under the
    same rules. Not measured without `score.candidates`."""
    index_recall: Below = Below(warn_below=0.9)
    """Share of the best items of sampled users that the search with `score.index` finds. Not
    measured without `score.index`, nor where it is not used: with `score.candidates`, `boosts` or
    `least_score`."""
    recall_users: Annotated[int, Field(ge=0)] = 200
    """Users that `candidate_recall` and `index_recall` are measured on, the same ones each time.
    With a ranker, `candidate_recall` takes fewer if users times items exceeds `score.max_pairs`. 0:
    neither is measured."""

    @field_validator("*", mode="before")
    @classmethod
    def _with_defaults(cls, given: Any, info: Any) -> Any:
        """Let a limit that is not set keep the gate's own default."""
        default = cls.model_fields[info.field_name].default
        if not isinstance(given, Mapping) or not isinstance(default, Section):
            return given
        return {**default.model_dump(), **given}
