"""Call a function of a stage by name: its module is imported only if there is work for it."""

from importlib import import_module
from typing import Any


def call_stage(module: str, function: str, *args: Any, **kwargs: Any) -> Any:
    """Import a stage's module and call a function of it."""
    return getattr(import_module(module), function)(*args, **kwargs)
