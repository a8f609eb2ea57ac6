"""
A configuration as data, with its secrets masked.

Lives here: `as_data`. Does not: which texts are secrets (`model` and the annotations of plugins' options).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from metaproxy.config.slices import checkpoint
from metaproxy.units import Secret


def as_data(value: object) -> object:
    """A configuration or a part of it as JSON would have it, secrets masked: for showing it."""
    if isinstance(value, Secret):
        return "****"
    if is_dataclass(value) and not isinstance(value, type):
        checkpoint()
        shown = [one.name for one in fields(value) if one.compare]
        data = {name: as_data(getattr(value, name)) for name in shown if getattr(value, name) is not None}
        within = getattr(value, "WITHIN", "")
        return {within: data} if within else data
    if isinstance(value, Mapping):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(item) for item in value]
    return str(value) if isinstance(value, Path) else value
