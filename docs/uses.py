"""The page of the manual that says which model uses which setting, from the table in the code."""

from conf.settings.rules.uses import KINDS, USES, Use

HEAD = """# Which settings does a model use?

One configuration holds the settings of all kinds of models, and a model uses some of them. If you
set a key of `train` to another value than its default and no model of the run uses it, `headrace
run`, `train`, `compare` and `tune` log a warning that names the key and the reason. The members of
a blend, `train.baselines`, the models of `compare.models` and the values in `tune.space` all count.

- ✓: the model uses the keys.
- *ignored*: the model does not use the keys, and you are warned.
- **refused**: the configuration is refused with exit code 2.

A blend (`hybrid`) uses what its members use too. A section, such as `train.model`, stands for its
keys that have no row of their own. *Only with* names other settings without which the keys have no
effect. This table is generated from the code; a test trains each kind of model, changes each key
and compares.
"""
TAIL = """
## Settings of other sections

| keys | who uses them |
|---|---|
| `etl.event_types.NAME.weight`, `.confidence` | all but `ranking`: targets of networks, counts of the others |
| `etl.history_features` | `neural`, with `train.model.event_features` |
| `etl.features.items` | `neural`, with `train.model.content.features`; `ranking` |
| `etl.features.users`, `etl.features.events`, `etl.features.as_of`, `etl.impressions` | `ranking` |
| `etl.window_length` | `neural`: set `train.model.history_length` to the same number |
| `etl.windows` | all but `popularity` and `ranking`; `recent_popularity` refuses `last` |
| `score` | all that score the catalogue; `ranking` orders the candidates of `score.candidates`, or the whole catalogue. `score.drop_seen` changes their figures too |
| `score.reasons` | all but `popularity` and `recent_popularity`, which have no reasons |
"""  # noqa: E501


def uses_page() -> str:
    """Return the page."""
    head = f"| keys of `train` | {' | '.join(f'`{kind}`' for kind in KINDS)} | only with |"
    rule = f"|{'---|' * (len(KINDS) + 2)}"
    return "\n".join([HEAD, head, rule, *map(_row, USES)]) + "\n" + TAIL


def _row(use: Use) -> str:
    other = "**refused**" if use.refused else "*ignored*"
    cells = ["✓" if kind in use.kinds else other for kind in KINDS]
    keys = "<br>".join(f"`{key}`" for key in use.keys)
    conditions = "<br>".join(condition.text for condition in use.conditions)
    return f"| {keys} | {' | '.join(cells)} | {conditions} |"
