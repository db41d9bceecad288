"""What the report says of features: kind, figures of the selection, why one was left out."""

from collections.abc import Mapping, Sequence

from conf.contract import Feature
from etl.report_data import FeatureFigures


def feature_figures(features: Mapping[str, Sequence[Feature]]) -> list[FeatureFigures]:
    """Return all features of a manifest, part by part, as the report lists them."""
    return [
        FeatureFigures(
            name=feature.name,
            kind=f"{feature.encoding} ({part})",
            is_selected=feature.left_out is None,
            reason=feature.left_out or "",
            figures=feature.figures,
        )
        for part, members in features.items()
        for feature in members
    ]
