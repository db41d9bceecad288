"""Parts of a result in words: what was removed and what stays, what a blend consists of."""

from collections.abc import Iterator, Mapping
from typing import Any

_UNITS = {
    "encoders": "values",
    "fills": "groups",
    "pages": "pages",
    "samples": "sample lists",
    "combinations": "users' combinations",
    "versions": "versions",
}


def told_removed(removed: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return by folder what an erasure removed, with units.

    Args:
        removed: Numbers by folder and part, as in a receipt.
    """
    return {
        folder: "\n".join(
            f"{part}: {count:,} {_UNITS.get(part, 'rows')}" for part, count in parts.items()
        )
        or "nothing to remove"
        for folder, parts in removed.items()
    }


def told_delivered(delivered: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return by target what it has now, as one line."""
    return {
        name: f"{one['status']}: {one['error']}"
        if "error" in one
        else f"{one['status']}, version {one['version']}: "
        + ", ".join(f"{count['lists']:,} {kind}" for kind, count in one["kinds"].items())
        for name, one in delivered.items()
    }


def told_blend(weights: Mapping[str, float]) -> str:
    """Return a sentence with the weights of a blend, the largest first."""
    ordered = sorted(weights.items(), key=lambda pair: -pair[1])
    used = ", ".join(f"{name} {weight:g}" for name, weight in ordered if weight > 0)
    unused = ", ".join(name for name, weight in ordered if weight == 0)
    return f"blend: {used}" + (f"; not used, with the weight 0: {unused}" if unused else "")


def told_rules(rules: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return what each rule of the lists did as one line."""
    return {
        name.removeprefix("score.rules."): ", ".join(
            f"{count:,} {key.replace('_', ' ')}" for key, count in counts.items()
        )
        for name, counts in rules.items()
    }


def told_sizes(removed: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, id and size of each version that is removed."""
    for kind, sizes in removed.items():
        for version, size in sizes.items():
            yield kind, version, f"{size / (1 << 20):,.1f} MiB"


def told_reasons(kept: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, id and reason of each version that stays."""
    for kind, reasons in kept.items():
        for version, why in reasons.items():
            yield kind, version, why
