import re
from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.load import load_config

GIVEN = """
run: {name: tiny, output: out}
input:
  root: data
  events:
    old: {paths: [old.csv], time_unit: order, part: train, columns: {event_type: used}}
    new: {paths: [new.csv], time_unit: order, part: valid, columns: {event_type: used}}
etl:
  event_types: {"1": {}, "0": {shown_only: true}}
  split: {kind: given}
  impressions: {labels: {used: ["1"]}, negatives: logged}
"""
FAULTS = {
    "input.events.new.part=null": "input.events.new.part is null, but",
    "input.events.old.part=test": "input.events has no log with part: train",
    "etl.split.kind=random": "input.events.old, new.part is set, but etl.split.kind is 'random'",
    "etl.split.num_targets=2": "num_targets=2 is for the kinds leave_last_n and random, not given",
    "etl.event_types={'1': {shown_only: true}}": "all of 1, 0 are shown_only",
    "etl.impressions=null": "needs etl.impressions.negatives: logged",
    "etl.impressions.labels={used: ['0']}": r"labels.used names a type of etl.event_types",
    "etl.clean.cancellations.cancelled_types=['0']": "0 is shown_only and cannot be cancelled",
    "etl.catalogue=table": "etl.catalogue='table' takes the items of input.items, which is null",
    "train.model.content.features=all": "etl.features.items.encodings is empty; add encodings",
}
COLD = """
run: {name: tiny, output: out}
input:
  root: data
  events:
    log: {paths: [new.csv], time_unit: seconds}
  items: {paths: [items.csv], id_column: id, fields: {price: {}}}
etl:
  event_types: {view: {}}
  catalogue: table
  features: {items: {encodings: {price: {kind: numeric}}}}
train: {algorithm: neural, model: {content: {features: [item_price]}}}
"""
COLD_FAULTS = {
    "train.model.content.features=[item_prise]": "item_prise is not a feature of "
    "etl.features.items, which makes item_price",
    "train.model.content.features=[]": "write none, all, or the features' names",
    "train.model.content.features=[item_price, item_price]": "names item_price twice; name it once",
    "privacy.min_users_per_item=3": "would put them back; set it to log",
    "etl.impressions={labels: {seen: [view]}, negatives: uniform}": "that nobody could act on",
}


@pytest.mark.parametrize("change", FAULTS)
def test_parts_and_shown_types_that_make_no_sense_are_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "given.yaml"
    path.write_text(GIVEN)
    assert load_config(path).etl.split.kind == "given"
    with pytest.raises(ConfigError, match=FAULTS[change]):
        load_config(path, [change])


def test_wrong_features_are_named_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text("""
run: {name: tiny, output: out}
input:
  root: data
  events: {log: {paths: [events.csv], time_unit: order}}
  items: {paths: [items.csv], id_column: id, fields: {price: {}, weight: {type: number}}}
etl:
  event_types: {view: {}}
  features:
    items:
      encodings: {colour: {kind: hashed}, price: {kind: numeric}, weight: {kind: text}}
      crosses: {x: {of: [price, colour]}}
    as_of: {}
  impressions: {labels: {buy: [buy], rating: [value]}, negatives: session}
""")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for part in ("colour is not a field", "price cannot be crossed", "as_of is set",
                 "buy is not one of", "session_gap_minutes is null", "needs a field of type text",
                 "labels.rating is the event's value"):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize("change", COLD_FAULTS)
def test_a_catalogue_and_content_that_make_no_sense_are_refused(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "cold.yaml"
    path.write_text(COLD)
    assert load_config(path).train.model.content.features == ("item_price",)
    with pytest.raises(ConfigError, match=COLD_FAULTS[change]):
        load_config(path, [change])


CONTEXT = """
run: {name: tiny, output: out}
input:
  root: data
  events:
    log:
      paths: [new.csv]
      time_unit: seconds
      fields: {device: {}, words: {}, price: {type: number}, price_present: {}}
etl:
  event_types: {view: {}}
  features:
    events:
      encodings:
        device: {kind: categorical}
        words: {kind: text}
        price: {kind: numeric}
        price_present: {kind: hashed}
  history_features: [device, price]
train: {algorithm: neural, model: {event_features: [price]}}
"""
CONTEXT_FAULTS = {
    "etl.history_features=[price,place]": "'place' is not in etl.features.events.encodings, which "
    "has device, words, price, price_present; add an encoding",
    "etl.history_features=[price,words]": "'words' is encoded as text, which gives several",
    "etl.history_features=[price,price]": "etl.history_features has 'price' twice",
    "etl.history_features=[price,price_present]": (
        "'price_present' is the name of the mask of 'price'"
    ),
    "etl.history_features=[]": "event_features=('price',), but etl.history_features is empty",
    "train.model.event_features=[price,words]": "words is not in etl.history_features: device, pri",
    "train.model.event_features=[price,price]": "event_features=['price', 'price'] names one twice",
}


@pytest.mark.parametrize("override", CONTEXT_FAULTS)
def test_features_of_past_events_are_named_where_they_cannot_be(
    tmp_path: Path, override: str
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(CONTEXT)
    assert load_config(path).etl.history_features == ("device", "price")
    assert load_config(path, ["train.model.event_features=all"]).train.model.event_features == "all"
    with pytest.raises(ConfigError, match=re.escape(CONTEXT_FAULTS[override])):
        load_config(path, [override])
