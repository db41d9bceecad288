"""The users of a scenario: those who meet its condition.

Legend of shapes: N users of a part.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from conf.contract import Manifest
from conf.errors import ConfigError
from serving.rules.conditions import Conditions
from serving.rules.reading.tables import dated, no_items, no_users


class Members:
    """A condition over fields of users."""

    def __init__(self, dataset: Path, manifest: Manifest, name: str, text: str) -> None:
        """Check the condition.

        Args:
            dataset: Folder of the dataset.
            manifest: The dataset.
            name: The scenario.
            text: The condition.

        Raises:
            ConfigError: When it is no condition, or uses other fields than those of users.
        """
        self.manifest, self.text = manifest, text
        self.key = f"score.scenarios.{name}.users"
        self.conditions = Conditions(
            no_items(dataset, manifest),
            no_users(dataset, manifest),
            logical_date=manifest.logical_date,
            threads=1,
        )
        self.condition = self.conditions.checked(self.key, text)
        if self.condition.item_fields:
            raise ConfigError(
                f"{self.key} uses fields of items ({', '.join(sorted(self.condition.item_fields))})"
                ", but it says who is in the scenario; use fields of users, such as user.region"
            )
        if not self.condition.user_fields:
            raise ConfigError(
                f"{self.key}={text!r} uses no field of users; leave it out, so that all users are "
                "in the scenario, or remove the scenario"
            )

    @property
    def fields(self) -> list[str]:
        """Return the fields of users that it uses."""
        return sorted(self.condition.user_fields)

    def of(self, users: pa.Table) -> np.ndarray:
        """Return which users are in the scenario; one for whom it is null is not: [N] bool.

        Args:
            users: N users with the fields `fields`.
        """
        schema = self.conditions.no_users.schema
        rows = dated(users.select(self.fields), self.manifest, "users")
        columns = [
            rows[field.name] if field.name in self.fields else pa.nulls(users.num_rows, field.type)
            for field in schema
        ]
        table = pa.Table.from_arrays(columns, schema=schema)
        return self.conditions.of_users(self.condition, table).holds
