"""
Rules on access logs and traces: what they are written to is there.

Lives here: `RULES`. Does not: formats (`telemetry.access_log`).
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.support.extras import install

RULES = Rules()


@RULES.of(model.AccessLog)
def _log_can_be_written(log: model.AccessLog, reading: Reading) -> None:
    if not os.path.isdir(log.file.parent):
        reading.problem(reading.at(log, "file"), f"{log.file}: there is no such folder")
    elif os.path.isdir(log.file):
        reading.problem(reading.at(log, "file"), f"{log.file} is a folder")


@RULES.of(model.AccessLog)
def _one_format(log: model.AccessLog, reading: Reading) -> None:
    if log.fields is not None and log.format not in ("text", "json"):
        reading.problem(reading.at(log, "fields"), "beside a `format` of its own; leave one of them out")


@RULES.of(model.Tracing)
def _opentelemetry_is_there(tracing: model.Tracing, reading: Reading) -> None:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        reading.problem(reading.at(tracing), f"OpenTelemetry is not installed; {install('tracing')}")


@RULES.of(model.Config)
def _spans_go_somewhere(config: model.Config, reading: Reading) -> None:
    if config.tracing is not None or any(problem.path.startswith("tracing") for problem in reading.problems):
        return
    for listener in config.listeners:
        if listener.tracing is not None:
            text = "nothing says where spans go; write `tracing: {exporter: otlp, url: ...}` at the top"
            reading.problem(reading.at(listener, "tracing"), text)
