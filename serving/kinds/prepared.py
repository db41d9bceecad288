"""Read and check what each kind of lists is made with, before any list is made."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pyarrow as pa
import torch

from conf.contract import NUM_RESERVED, USER_IDX, Manifest, catalogue_size
from conf.errors import ConfigError, HeadraceError
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.rules.scenarios import of_scenario
from conf.settings.score import Scenario, Score
from conf.workspace.publications import ShownLists
from serving.kinds.scorable import warn_of_context, warn_of_dropped
from serving.publishing.parts import read_row_group
from serving.ranking.rankers import Ranker, make_ranker
from serving.reasons.templates import load_templates
from serving.rules.book import RuleBook
from serving.rules.members import Members
from serving.rules.reading.given import NOW, Given, read_given
from serving.rules.shown import shown_version
from serving.scoring.arranged import require_arrangeable
from serving.scoring.kinds import ListKind
from serving.scoring.list_model import ListModel
from serving.scoring.staged import Staged, load_staged, orders_of, stages_of

log = logging.getLogger(__name__)
Files = Mapping[str, Sequence[InputFile]]
"""Of `conf.runs.inputs.list_files.list_files`."""
Told = Callable[[str], str]
"""Turns a message about keys of `score` into one about those of the user's file."""


@dataclass(frozen=True)
class Source:
    """What all kinds of lists are made from."""

    config: Config
    manifest: Manifest
    """The dataset."""
    model: ListModel
    item_ids: pa.Array
    """[V], null at the reserved numbers."""
    models: Mapping[str, str]
    """Models of other roles that candidates need, by role."""
    files: Files

    @property
    def workspace(self) -> Path:
        """Return the folder of the workspace."""
        return Path(self.config.run.output).resolve()

    @property
    def dataset(self) -> Path:
        """Return the folder of the dataset."""
        return self.workspace / "datasets" / self.manifest.id

    @cached_property
    def ranker(self) -> Ranker | None:
        """Return the ranker of the main model, one for all lists; None if it scores pairs."""
        model, score = self.model, self.config.score
        if model.scorer is None:
            return None
        return make_ranker(model.scorer, score, model_id=model.bundle.id, num_items=model.num_items)


@dataclass(frozen=True)
class Prepared:
    """A kind of lists that can be made."""

    kind: ListKind
    staged: Staged | None
    """Channels and ranker; None: the lists are those of the main model alone."""
    members: Members | None
    """Who gets lists; None: all users."""
    book: RuleBook | None
    """The rules; None: there are none."""
    rules: Mapping[str, Mapping[str, int]]
    """What each rule excludes for all users."""
    own: Scenario | None
    """The section of the scenario; None: the default lists."""

    @property
    def score(self) -> Score:
        """Return the section as it is for these lists."""
        return self.kind.score

    def told(self, text: str) -> str:
        """Return a message about keys of `score` with those of the scenario."""
        return of_scenario(text, self.kind.scenario, self.own)


def prepared(
    source: Source, shown: Sequence[ShownLists], shown_in: Mapping[str, Sequence[ShownLists]]
) -> list[Prepared]:
    """Return all kinds of lists, the default ones first.

    Args:
        source: What they are made from.
        shown: Of `conf.runs.lineage.shown_lists`.
        shown_in: Of `conf.runs.lineage.shown_in_scenarios`.

    Raises:
        ConfigError: When a rule or a condition cannot be evaluated, or leaves nothing.
        InputError: When a file breaks its rules.
    """
    found: list[Prepared] = []
    for name, section in source.config.score.sections.items():
        own = None if name is None else source.config.score.scenarios[name]
        versions = shown if name is None else shown_in.get(name, ())
        told = partial(of_scenario, name=name, scenario=own)
        with _told_as(told):
            found.append(_prepared(source, section, name, own, told, versions, found))
    return found


def prepared_similar(source: Source, first: Given) -> ListKind | None:
    """Return how lists of items are made that have rules of their own; None: they have none.

    Args:
        source: What they are made from.
        first: What was read for the default lists.

    Raises:
        ConfigError: When a rule cannot be evaluated, needs users, or leaves no item.
    """
    score = source.config.score.of_similar_items
    if score is None:
        return None
    config = source.config.model_copy(update={"score": score})

    def told(text: str) -> str:
        return text.replace("score.rules.", "score.similar_items.rules.")

    with _told_as(told):
        files = _files_below("score.similar_items.", source.files)
        given = _read_with_now(source, config, files, first, told)
        _item_rules(source, score, given, about_users="lists of items have no users")
    return ListKind(score, given=given)


@contextmanager
def _told_as(told: Told) -> Iterator[None]:
    """Name the keys of the user's file in errors about some lists."""
    try:
        yield
    except HeadraceError as error:
        error.args = (told(str(error)),)
        raise


def _prepared(
    source: Source,
    score: Score,
    name: str | None,
    own: Scenario | None,
    told: Told,
    shown: Sequence[ShownLists],
    others: Sequence[Prepared],
) -> Prepared:
    config = source.config.model_copy(update={"score": score})
    files = _files_of(source.files, name, own)
    members = None
    if name is not None and own is not None and own.users is not None:
        members = Members(source.dataset, source.manifest, name, own.users)
        _require_some(source, members)
    of_run = (source.manifest, source.model, source.models)
    stages = stages_of(config, *of_run, files)
    staged = None
    if stages is not None:
        staged = next((one.staged for one in others if one.kind.stages == stages
                       and orders_of(one.score) == orders_of(score)), None)  # fmt: skip
        if staged is None:
            cpu = torch.device("cpu")
            of_dataset = (source.workspace, source.manifest, source.model)
            staged = load_staged(*of_dataset, stages, score, cpu, source.ranker)
            warn_of_context(staged)
    first = others[0].kind.given if others else None
    given = _given(source, config, files, own, first, told)
    if shown:
        versions = [shown_version(source.workspace, one, name) for one in shown]
        given = given._replace(shown=versions, item_ids=source.item_ids)
    warn_of_dropped(source.manifest, score, own, told)
    book, rules = _item_rules(source, score.with_list_rules(), given)
    require_arrangeable(score, source.model, source.dataset, source.manifest, given)
    return Prepared(
        ListKind(
            score,
            name,
            None if own is None else own.users,
            stages,
            load_templates(score.texts),
            given,
        ),
        staged,
        members,
        book,
        rules,
        own,
    )


def _files_of(files: Files, name: str | None, own: Scenario | None) -> Files:
    """Return the files of one kind of lists, by their dotted names without the scenario."""
    if own is None:
        return files
    found = _files_below(f"score.scenarios.{name}.", files)
    inherited = [key for key in ("rules", "candidates") if getattr(own, key) is None]
    for key, some in files.items():
        if key == NOW or any(key.startswith(f"score.{one}.") for one in inherited):
            found[key] = some
    return found


def _files_below(prefix: str, files: Files) -> dict[str, Sequence[InputFile]]:
    """Return the files whose names begin with the prefix, with `score.` in its place."""
    return {
        f"score.{key.removeprefix(prefix)}": some
        for key, some in files.items()
        if key.startswith(prefix)
    }


def _given(
    source: Source,
    config: Config,
    files: Files,
    own: Scenario | None,
    first: Given | None,
    told: Told,
) -> Given:
    """Return what rules read besides the dataset; the fresher table of items is read once.

    Args:
        source: What lists are made from.
        config: With the section of these lists.
        files: Their files.
        own: The section of the scenario; None: the default lists.
        first: What was read for the default lists; None: these are they.
        told: Names the keys of the scenario in warnings.
    """
    if first is None:
        return read_given(config, source.manifest, source.item_ids, files)
    if own is None or own.rules is None:
        return first._replace(shown=(), item_ids=None) if first.shown else first
    return _read_with_now(source, config, files, first, told)


def _read_with_now(source: Source, config: Config, files: Files, first: Given, told: Told) -> Given:
    """Return what rules read, with the fresher table that was read for the default lists."""
    uses_now = config.score.items_now is not None
    without = config.score.model_copy(update={"items_now": None})
    config = config.model_copy(update={"score": without})
    files = {key: some for key, some in files.items() if key != NOW}
    found = read_given(config, source.manifest, source.item_ids, files, told)
    if not uses_now:
        return found
    counts = {**found.counts, NOW: first.counts[NOW]}
    return found._replace(now=first.now, has_row=first.has_row, counts=counts)


def _require_some(source: Source, members: Members) -> None:
    """Refuse a condition that no user of the dataset meets.

    Raises:
        ConfigError: Naming the condition and the number of users.
    """
    users = 0
    for group in source.manifest.row_groups("users"):
        rows = read_row_group(source.dataset, group, [USER_IDX, *members.fields])
        if members.of(rows).any():
            return
        users += rows.num_rows
    raise ConfigError(
        f"{members.key}={members.text!r} is true for none of the {users:,} users of dataset "
        f"{source.manifest.id}; correct the condition, or remove the scenario"
    )


def _item_rules(
    source: Source, score: Score, given: Given, about_users: str | None = None
) -> tuple[RuleBook | None, dict[str, dict[str, int]]]:
    """Evaluate the rules that are the same for all users; return all rules, and what each excludes.

    Args:
        source: What the lists are made from.
        score: Their section.
        given: What their rules read besides the dataset.
        about_users: Why no rule may use fields of users; None: it may.

    Raises:
        ConfigError: When a rule cannot be evaluated, or when no item is left.
    """
    if score.rules is None:
        return None, {}
    book = RuleBook(source.dataset, source.manifest, score, given)
    if about_users is not None and book.user_fields:
        keys = ", ".join(one.key for one in [*book.by_group, *book.boosts_by_group])
        raise ConfigError(
            f"{keys} uses fields of users ({', '.join(book.user_fields)}), but {about_users}; use "
            "fields of items"
        )
    counts = book.item_counts()
    if not len(book.kept):
        told = ", ".join(f"{name} ({found['excluded_items']:,})" for name, found in counts.items())
        items = catalogue_size(source.manifest) - NUM_RESERVED
        raise ConfigError(
            f"the rules exclude all {items:,} items of dataset {source.manifest.id} for everybody: "
            f"{told}; correct the rules, or the fields that they use"
        )
    return book, {
        name: {**given.counts.get(name, {}), **counts.get(name, {})}
        for name in [*given.counts, *counts]
    }
