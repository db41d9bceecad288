"""A network small enough for tests: every argument of `RetrievalModel` but the catalogue."""

from typing import Any

from conf.settings.model import Model

SMALL: dict[str, Any] = {
    **Model(width=16, dropout=0.0, history_length=12, embedding_std=1.0).model_dump(),
    "event_types": 0,
    "event_features": (),
    "content": {"fields": [], "dropout": 0.0, "id_dropout": 0.0},
}
