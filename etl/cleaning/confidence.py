"""The confidence in each event: the weight of its type times its transformed value."""

import logging
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.contract import WEIGHT_STEPS
from conf.errors import InputError
from conf.settings.etl import MAX_CONFIDENCE, Confidence, Etl, EventType
from etl.spark.columns import (
    CANCELS,
    CONFIDENCE,
    EVENT_TYPE,
    FIELD,
    QUARANTINED,
    VALUE,
    VERDICT,
)

log = logging.getLogger(__name__)
OUT_OF_RANGE = "confidence_out_of_range"


def add_confidence(events: DataFrame, event_types: Mapping[str, EventType]) -> DataFrame:
    """Add CONFIDENCE, null for events without a type.

    Args:
        events: Events with EVENT_TYPE, VALUE and the declared fields.
        event_types: Types that are used.
    """
    each = [
        F.when(F.col(EVENT_TYPE) == number, _factor(kind.confidence, events.columns) * kind.weight)
        for number, kind in enumerate(event_types.values())
    ]
    return events.withColumn(CONFIDENCE, F.coalesce(*each).cast("float"))


def judge_confidence(events: DataFrame, event_types: Mapping[str, EventType]) -> DataFrame:
    """Quarantine events whose confidence would be below 0 or above `MAX_CONFIDENCE`.

    Args:
        events: Events with VERDICT and the columns that `add_confidence` reads; cancellations may
            have any value.
        event_types: Types that are used.
    """
    if not any(kind.confidence for kind in event_types.values()):
        return events
    outside = [
        (F.col(EVENT_TYPE) == number) & _is_outside(kind, events.columns)
        for number, kind in enumerate(event_types.values())
        if kind.confidence is not None
    ]
    is_wrong = F.greatest(*outside, F.lit(False))  # true if one is; ignores nulls
    if CANCELS in events.columns:
        is_wrong = is_wrong & ~F.col(CANCELS)
    verdict = F.coalesce(VERDICT, F.when(is_wrong, QUARANTINED + OUT_OF_RANGE))
    return events.withColumn(VERDICT, verdict)


def require_some_confidence(num_events: int, weight: float | None, etl: Etl) -> None:
    """Refuse a training part without any confidence: no model could learn from its events.

    With impressions it is only a warning, because a ranking model learns from these.

    Args:
        num_events: Events of the training part.
        weight: Sum of their confidences; None if they do not differ.
        etl: The section of the configuration.

    Raises:
        InputError: When there are training events, and the confidence of all of them is 0.
    """
    if not num_events or weight is None or weight > 0:
        return
    acts = {name: kind for name, kind in etl.event_types.items() if not kind.shown_only}
    given = ", ".join(f"etl.event_types.{name}.{_told(kind)}" for name, kind in acts.items())
    message = (
        f"all {num_events:,} events of the training part have the confidence 0 (below "
        f"{0.5 / WEIGHT_STEPS:.0e} counts as 0), so there is nothing to learn from: {given}; "
        "correct the weight, or the confidence's field, transform, threshold or missing"
    )
    if etl.impressions is None:
        raise InputError(message)
    log.warning("etl: only train.algorithm=ranking can use this dataset: %s", message)


def _told(kind: EventType) -> str:
    if kind.confidence is None or not kind.weight:
        return f"weight={kind.weight:g}"
    written = kind.confidence.model_dump(exclude_none=True)
    return f"confidence={{{', '.join(f'{key}: {value}' for key, value in written.items())}}}"


def _is_outside(kind: EventType, present: Sequence[str]) -> Column:
    factor = _factor(kind.confidence, present)
    return (factor < 0) | factor.isNull() | (factor * kind.weight > MAX_CONFIDENCE)


def _factor(spec: Confidence | None, present: Sequence[str]) -> Column:
    """Return the transformed value: below 0 or null if the value is below 0, where that is wrong.

    Args:
        spec: How the value counts; None: it does not.
        present: Columns of the events.
    """
    if spec is None:
        return F.lit(1.0)
    name = VALUE if spec.field == "value" else FIELD + spec.field
    if name not in present:
        return F.lit(spec.missing)
    value = F.col(f"`{name}`").cast("double")
    if spec.transform == "binary":
        is_high = value > 0 if spec.threshold is None else value >= spec.threshold
        transformed = is_high.cast("double")
    elif spec.transform == "log1p":
        transformed = F.when(value < 0, value).otherwise(F.log1p(value))
    else:
        transformed = value
    return F.when(value.isNull(), F.lit(spec.missing)).otherwise(transformed)
