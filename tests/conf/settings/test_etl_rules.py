from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.load import load_config

CONFIG = """
run: {name: tiny, output: out}
input:
  root: data
  events:
    log:
      paths: [events.csv]
      time_unit: seconds
      fields: {invoice: {}, price: {type: number, minimum: 0}}
  users:
    paths: [users.csv]
    id_column: id
    fields: {age: {type: integer, fill: {kind: median, group_by: region}}, region: {}}
etl:
  event_types: {view: {}, buy: {}}
  clean:
    keep_from: 2026-01-01
    keep_to: 2026-12-31
    budgets: {duplicate: {warn_above: 0.1}, price_out_of_range: {stop_above: 0.1}}
    cancellations: {event_types: [refund], cancelled_types: [buy], id_prefix: C, id_field: invoice}
  split: {kind: leave_last_n, num_targets: 2}
"""
FIELDS = "input.events.log.fields"
CANCELLATIONS = "etl.clean.cancellations"
FAULTS = {
    "etl.clean.cancellations.negative_value=true": "but no log has columns.value",
    "etl.split={kind: given, ties: together}": "the logs say which part an event is in",
    "etl.clean.keep_to=2025-12-31": "keep_from=2026-01-01 is after etl.clean.keep_to=2025-12-31",
    "etl.clean.budgets.user_mising.warn_above=0.1": (
        "user_mising: there is no such rule; the rules are"
    ),
    "etl.clean.budgets.invoice_unparsable.warn_above=0.1": "there is no such rule",
    f"{CANCELLATIONS}.event_types=[view]": "view are also in etl.event_types",
    f"{CANCELLATIONS}.cancelled_types=[sale]": "sale are not in etl.event_types, which has view",
    f"{CANCELLATIONS}.id_field=order": "id_field='order' is not a field of any log",
    f"{CANCELLATIONS}.id_field=null": "id_prefix is set, but no log has columns.event_id",
    "etl.clean.item_pattern='[0-9'": "item_pattern is not a regular expression",
    "etl.split.kind=leave_one_out": "num_targets=2 is for the kinds leave_last_n and",
    "etl.split.valid_from=2026-05-01": (
        r"etl\.split\.valid_from=2026-05-01: only for the kind temporal, but etl\.split\.kind is "
        "'leave_last_n'; set it to temporal"
    ),
    "etl.split={test_from: 2026-05-01, test_share: 0.2}": (
        r"test_from=2026-05-01, etl\.split\.test_share=0\.2: only for the kind temporal"
    ),
    "input.events.log.time_unit=order": r"etl\.clean\.keep_from is set, .* is 'order'",
    "input.events.log.event_type=sale": "is not one of etl.event_types: view, buy",
    f"{FIELDS}.invoice.minimum=0": "minimum and maximum are for integers and numbers, not text",
    f"{FIELDS}.price.fill.kind=mode": "fill is for tables of items and users only",
    "input.users.fields.age.fill.group_by=city": (
        "group_by='city' is not another field; there are age"
    ),
    "input.users.fields.age.fill.group_by=age": "group_by='age' is not another field",
    "input.users.fields.age.fill.value=3": "value has to be set if kind is constant, and only",
    "input.users.fields.age.fill={kind: constant, group_by: null, value: 3.5}": (
        "value=3.5 is not of the type integer"
    ),
    "input.users.fields.age.fill={kind: constant}": "value has to be set if kind is constant",
    "input.users.fields.age.type=text": "a text has no median",
    "input.users.fields.age_was_missing.column=x": "age_was_missing has the name of a column",
    "input.users.fields={a.b: {}}": "should match pattern",
    "etl.features.users.encodings={size: {kind: hashed}}": (
        r"encodings\.size is not a field of input\.users; declared are age, region, age_was_missing"
    ),
    "etl.features.users.encodings={age: {kind: tags}}": "kind='tags' needs a field of type text",
    "etl.features.users={encodings: {age: {kind: bucketed}, region: {kind: hashed}}, "
    "crosses: {region: {of: [age, region]}}}": "crosses.region has the name of a field",
    "etl.impressions={labels: {bought: [buy]}, negatives: session}": (
        "negatives is 'session', but etl.session_gap_minutes is null"
    ),
    "etl.impressions={labels: {bought: [sale]}}": (
        "labels.bought: sale is not one of etl.event_types"
    ),
    "etl.impressions={labels: {rating: [value]}}": "no log of input.events has columns.value",
    "train={workers: 3, max_workers: 2}": "train.workers=3 is above train.max_workers=2",
    "etl={features: {as_of: {}}, event_types: {add to cart: {}, view: {}}}": (
        "'add to cart' cannot be part of a column's name"
    ),
}


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


def test_sections_that_fit_are_accepted(yaml: Path) -> None:
    config = load_config(yaml, [
        "input.events.log.event_type=refund",
        "etl.features.users.encodings={region: {kind: vector, dimension: 2}}",
        "etl.clean.budgets.region_no_vector.stop_above=0.1",
    ])  # fmt: skip
    assert config.etl.clean.cancellations.is_on
    assert config.etl.clean.budgets["duplicate"].stop_above is None


@pytest.mark.parametrize("override", FAULTS)
def test_sections_that_do_not_fit_are_refused(yaml: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=FAULTS[override]):
        load_config(yaml, [override])


def test_a_feature_of_a_field_that_is_dropped_is_refused(yaml: Path) -> None:
    feature = "etl.features.users.encodings={region: {kind: hashed}}"
    assert load_config(yaml, [feature]).etl.features.users.encodings
    with pytest.raises(ConfigError, match=r"encodings\.region: privacy\.columns\.users\.region dr"):
        load_config(yaml, [feature, "privacy.columns.users.region.method=drop"])
