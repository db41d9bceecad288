"""The Ray worker of audiences: finds the best users of one part after another.

Legend of shapes: N users of a part, B users of a batch, V catalogue, M items of all audiences
together, A audiences.
"""

import numpy as np
import pyarrow as pa
import torch

from conf.contract import AUDIENCE, AUDIENCES, SCORE, USER_ID, USER_IDX
from serving.audiences.comparable import share_of, shares
from serving.audiences.items import conditions_of, users_conditions
from serving.publishing.parts import part_name, read_row_group, write_part
from serving.ranking.channels import knows
from serving.ranking.rankers import users_at_once
from serving.rules.allowed import HistoryRules, Rules
from serving.rules.history import known_to_model
from serving.rules.part import PartRules
from serving.rules.reading.tables import dated
from serving.scoring.worker import PartScorer, Scored, ScoringJob
from trainer.data.batches import rows_of_like_length
from trainer.data.columns import Ragged

PARTS = "parts"
"""Folder of the parts, next to the audiences that are made of them."""
PART_SCHEMA = pa.schema(
    [
        pa.field(AUDIENCE, pa.string(), nullable=False),
        pa.field(USER_IDX, pa.int64(), nullable=False),
        pa.field(USER_ID, pa.string(), nullable=False),
        pa.field(SCORE, pa.float32(), nullable=False),
    ]
)


def best_first(scores: np.ndarray, user_idx: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the best users, best first; of equal ones the smaller number is first.

    Args:
        scores: [N]
        user_idx: [N]
        count: Most users.
    """
    order: np.ndarray = np.lexsort((user_idx, -scores))
    return order[:count]


class AudienceScorer:
    """A loaded model with its dataset, ready to find the best users of parts."""

    def __init__(self, job: ScoringJob) -> None:
        self.job, self.parts = job, PartScorer(job.for_main_model())
        self.loaded, self.maker = self.parts.loaded, self.parts.maker
        dataset, manifest = self.loaded.dataset, self.loaded.manifest
        self.conditions = conditions_of(dataset, manifest, job.score, job.given)
        self.of_users = users_conditions(job.score, self.conditions)
        every = np.unique(np.concatenate([*job.audiences.values()]))
        model = self.loaded.model
        self.wanted = every[(every < model.num_items) & model.pools.model[every]]  # [M]
        self.users_at_once = users_at_once(job.score, model.num_items)

    def score(self, part: int) -> Scored:
        """Write the best users of one part for each audience."""
        users, histories = self.parts.read(part)
        best = self.best(part, users, histories)
        numbers, ids = users[USER_IDX].to_numpy(), users[USER_ID].cast(pa.string())
        tables = [PART_SCHEMA.empty_table()]
        for name, scores in best.items():
            fits = np.flatnonzero(scores > 0)
            count = self.job.score.audiences[name].count
            rows = fits[best_first(scores[fits], numbers[fits], count)]
            columns = [
                pa.array([name] * len(rows), pa.string()),
                pa.array(numbers[rows], pa.int64()),
                ids.take(pa.array(rows)),
                pa.array(scores[rows], pa.float32()),
            ]
            tables.append(pa.Table.from_arrays(columns, schema=PART_SCHEMA))
        path = self.job.folder / AUDIENCES / PARTS / part_name(part)
        write_part(path, pa.concat_tables(tables), request=self.job.request, num_users=len(numbers))
        return Scored(len(numbers))

    def best(self, part: int, users: pa.Table, histories: Ragged) -> dict[str, np.ndarray]:
        """Return for each audience the share of each user, 0 for users who are not in it: [N].

        Args:
            part: Number of the part.
            users: N users with the fields that rules use.
            histories: [N]
        """
        model, book = self.loaded.model, self.maker.book
        known = known_to_model(histories, model.num_items, model.unknown)
        rules: Rules = HistoryRules(known, drop_seen=self.job.score.drops_seen)
        if book is not None:
            rules = PartRules(book, users, histories)
        found = {name: np.zeros(users.num_rows) for name in self.job.audiences}
        rows = np.flatnonzero(knows(histories, model.pools.model))
        for some in rows_of_like_length(known, rows, self.users_at_once):
            of_items = self._allowed_shares(known, some, rules)  # [B, M]
            for name, items in self.job.audiences.items():
                found[name][some] = share_of(of_items[:, np.isin(self.wanted, items)])
        for name, meets in self._meets(part).items():
            found[name][~meets] = 0
        return found

    def _allowed_shares(self, histories: Ragged, rows: np.ndarray, rules: Rules) -> np.ndarray:
        """Return the share of each item, 0 for pairs that a user must not get: [B, M]."""
        scorer = self.maker.scorer
        assert scorer is not None  # else there are no audiences
        with torch.no_grad():
            scores = scorer.scores(histories, rows)  # [B, V]
        scores = scores.masked_fill(~torch.isfinite(scores), -torch.inf)
        allowed = rules.allowed(rows).to(scores.device)
        found = shares(scorer, scores, allowed.seen)[:, self.wanted]
        if rules.kept is None:
            return found
        is_kept = np.isin(self.wanted, rules.kept)
        found[:, ~is_kept] = 0
        if allowed.masks is not None:
            barred = allowed.masks.all().barred(0, len(rules.kept)).numpy()  # [kept, B]
            at = np.searchsorted(rules.kept, self.wanted[is_kept])
            found[:, is_kept] = np.where(barred[at].T, 0, found[:, is_kept])
        return found

    def _meets(self, part: int) -> dict[str, np.ndarray]:
        """Return which users of a part meet the condition of each audience that has one: [N]."""
        if not self.of_users:
            return {}
        manifest = self.loaded.manifest
        names = self.conditions.no_users.schema.names
        group = manifest.row_groups("users")[part]
        table = dated(read_row_group(self.loaded.dataset, group, names), manifest, "users")
        return {
            name: self.conditions.of_users(condition, table).holds
            for name, condition in self.of_users.items()
        }
