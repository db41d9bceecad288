"""The section `score.index`: approximate search for the best items."""

from conf.settings.section import Positive, Section


class Index(Section):
    """An inverted file of the item vectors (IVF of faiss); only some of its lists are searched.

    Needs the extra `index`. The scores of the items that are found are exact. The search is exact
    for users for whom too few items are found, if rules change scores, and for `score --events`.
    With GPUs the users are encoded there, and the index is searched on the CPU.
    """

    lists: Positive | None = None
    """Groups that the items are divided into, by k-means of their vectors; null: four times the
    square root of the number of items."""
    probes: Positive | None = None
    """Groups that are searched for each user, those nearest to the user's vector; more find more of
    the best items and take longer. null: a 32nd of the groups, but at least 8."""
