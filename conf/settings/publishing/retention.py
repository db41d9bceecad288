"""The section `retention`: which versions `headrace gc` keeps."""

from conf.settings.section import Positive, Section, VersionName


class Kept(Section):
    """How many versions of a kind are kept, besides those that others need."""

    keep: Positive = 7
    """Number of versions that `headrace rollback` can go back to, and of the newest versions by
    their days, that are kept; of models, for each role."""
    days: Positive | None = None
    """Versions are kept too if they are of the last so many days, counted from the newest day of
    their kind; null: only their number counts. No effect on logs without times."""


class Retention(Section):
    """What `headrace gc` keeps. Whatever is current, and what a kept version needs, always is."""

    lists: Kept = Kept()
    """Lists. Their dataset and models are kept with them."""
    models: Kept = Kept()
    """Models. The dataset of each, and the model that it started from, are kept with it."""
    datasets: Kept = Kept()
    """Datasets, with their tables of identities."""
    hold: tuple[VersionName, ...] = ()
    """Ids of versions of any kind that are kept, with what they need, until they are taken out of
    this list."""
