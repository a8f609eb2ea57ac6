"""
Rules on the process as a whole: its memory, and its folders of plugins.

Lives here: `RULES`. Does not: who may write to a folder (`permissions`).
"""

from __future__ import annotations

import os

from metaproxy.config import model
from metaproxy.config.permissions import who_else_writes
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading

LITTLE = 64 << 20
"""Bytes that the process takes before it has done anything, about."""

RULES = Rules()


@RULES.of(model.Overload)
def _there_is_room_for_the_process(overload: model.Overload, reading: Reading) -> None:
    if overload.max_memory and overload.max_memory < LITTLE:
        text = "the process alone takes about 64 MiB: it would refuse everything"
        reading.warn(reading.at(overload, "max_memory"), text)


@RULES.of(model.Config)
def _folders_exist(config: model.Config, reading: Reading) -> None:
    for folder in config.plugins:
        if not os.path.isdir(folder):
            reading.warn(reading.at(config, "plugins"), f"{folder} is no folder, or not yet")
    for folder in dict.fromkeys((*config.plugins, *reading.folders)):
        for text in who_else_writes(folder):
            reading.warn(reading.at(config, "plugins"), text)
