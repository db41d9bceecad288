"""The model card: one page about a model, with its figures and a few of its lists."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.contract import MODEL_NAME, Bundle, Manifest
from conf.pages.blocks import Sample, Section, Table
from conf.pages.page import Page, Tile
from conf.pages.text import figure, interval, number, share
from conf.runs.results import metrics_of
from conf.settings.config import Config
from conf.settings.train import Train
from conf.workspace.output_file import write_whole
from conf.workspace.versions import read_manifest, version_id
from trainer.models.bundle import Trained, build_scorer, load_scorer, train_section
from trainer.pages.card_choice import choice_section, gate_section
from trainer.pages.card_samples import UserSample, sample_users
from trainer.pages.card_sections import (
    calibration_section,
    data_section,
    lists_section,
    quality_section,
    segments_section,
    spots_section,
    training_section,
)
from trainer.pages.weak_spots import weak_spots

_RANKING = "ranking"
_WITHOUT_LISTS = (
    "The model predicts the outcome of single impressions. Its figures are of impressions, so "
    "there are no figures of lists."
)
_SAMPLES = (
    "One user of the test part for each range of history length, with the newest items of the "
    "history and the recommended list{}. Because of: the items of the history that raised the "
    "score, each with its share."
)
_AS_MEASURED = " as it is measured on the test part"


def run(config: Config, *, model_id: str, output: Path) -> dict[str, Any]:
    """Write the card of a committed model into a file."""
    workspace = Path(config.run.output)
    bundle = read_manifest(workspace, "models", model_id, Bundle)
    manifest = read_manifest(workspace, "datasets", bundle.dataset_id, Manifest)
    metrics = metrics_of(workspace / "models" / model_id)
    samples: list[UserSample] = []
    if bundle.algorithm != _RANKING:
        _, scorer = load_scorer(workspace, model_id)
        # Older releases did not write `drop_seen`; they always left out seen items.
        dataset, drop_seen = workspace / "datasets" / manifest.id, metrics.get("drop_seen", True)
        samples = sample_users(dataset, manifest, scorer, drop_seen=drop_seen)
    page = card(model_id, train_section(bundle), manifest, metrics, samples)
    write_whole(output, page.render())
    return {"file": str(output)}


def card_of_trained(config: Config, manifest: Manifest, request: str, trained: Trained) -> str:
    """Return the card of a model that is about to be committed."""
    samples: list[UserSample] = []
    if config.train.algorithm != _RANKING:
        size = manifest.vocabularies["item"].size
        scorer = build_scorer(config.train.algorithm, trained.section, trained.weights, size)
        dataset = Path(config.run.output) / "datasets" / manifest.id
        samples = sample_users(dataset, manifest, scorer, drop_seen=config.score.drop_seen)
    version = version_id(config.run.name, manifest.logical_date, request)
    return card(version, config.train, manifest, trained.metrics, samples).render()


def card(
    model_id: str,
    train: Train,
    manifest: Manifest,
    metrics: dict[str, Any],
    samples: Sequence[UserSample],
) -> Page:
    """Return the page.

    Args:
        model_id: Id of the model.
        train: Settings that it was trained with.
        manifest: Manifest of the dataset.
        metrics: Contents of its `metrics.json`.
        samples: A few users with their lists.
    """
    sections = [
        quality_section(metrics),
        gate_section(metrics),
        choice_section(metrics),
        spots_section(weak_spots(metrics)),
        segments_section(metrics),
        calibration_section(metrics, train.algorithm),
        lists_section(metrics),
        training_section(metrics),
        data_section(manifest, changed_settings(train)),
        samples_section(samples, train),
    ]
    return Page(
        kind="Model card",
        title=model_id,
        note=f"{train.algorithm}, trained on {manifest.id}, events up to {manifest.as_of}",
        tiles=_tiles(train, manifest, metrics),
        sections=[section for section in sections if section is not None],
    )


def samples_section(samples: Sequence[UserSample], train: Train) -> Section:
    """Return the lists of a few users.

    If the model was trained on the test part too, the column of items taken next is left out.
    """
    if not samples:
        note = _WITHOUT_LISTS if train.algorithm == _RANKING else "The test part has no users."
        return Section("samples", "Sample lists", note)
    tells_next = train.refit != "everything"
    note = _SAMPLES.format(_AS_MEASURED if tells_next else "")
    shown = [_sample(user, tells_next=tells_next) for user in samples]
    return Section("samples", "Sample lists", note, samples=shown)


def _sample(user: UserSample, *, tells_next: bool) -> Sample:
    header = ["", "item", "because of", *(["taken next"] if tells_next else [])]
    rows = [
        [
            number(place),
            row.item,
            ", ".join(f"{item} ({part:.0%})" for item, part in row.reasons) or "-",
            *(["yes" if row.was_next else ""] if tells_next else []),
        ]
        for place, row in enumerate(user.rows, start=1)
    ]
    newest = [[number(place), item] for place, item in enumerate(user.newest, start=1)]
    return Sample(
        user.user_id,
        [
            Table(f"Newest items, {user.activity} events in all", ["", "item"], newest, 2),
            Table("Recommended items", header, rows, len(header)),
        ],
    )


def changed_settings(train: Train) -> list[list[str]]:
    """Return the settings of the section `train` that differ from the defaults, by dotted key."""
    ours, theirs = _flat(train.model_dump(mode="json")), _flat(Train().model_dump(mode="json"))
    kept = {"train.algorithm": ours["train.algorithm"]}
    kept |= {key: value for key, value in ours.items() if theirs.get(key) != value}
    return [[key, json.dumps(value)] for key, value in kept.items()]


def _flat(section: dict[str, Any], prefix: str = "train") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in section.items():
        name = f"{prefix}.{key}"
        found |= _flat(value, name) if isinstance(value, dict) and value else {name: value}
    return found


def _tiles(train: Train, manifest: Manifest, metrics: dict[str, Any]) -> list[Tile]:
    """Return the figures at the top of the page."""
    own = metrics.get("test", {}).get(MODEL_NAME, {})
    whole = metrics.get("segments", {}).get("all", {}).get("all", {}).get(MODEL_NAME, {})
    names = [name for name in dict.fromkeys([train.metric, *whole]) if name in own or name in whole]
    tiles = []
    for name in names:
        bounds = whole.get(name)
        value = own[name] if name in own else whole[name]["value"]
        beside = interval(bounds) if bounds and bounds["low"] is not None else ""
        tiles.append(Tile(name, figure(value), beside))
    if "lists" in metrics:
        tiles.append(Tile("coverage", share(metrics["lists"][MODEL_NAME]["coverage"])))
    counts = [
        Tile(name, number(manifest.counts[name]))
        for name in ("users", "items", "events")
        if name in manifest.counts
    ]
    return [*tiles, *counts]
