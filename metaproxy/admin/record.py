"""
Writing exchanges to a file, to send them again later: `metaproxy replay`.

Lives here: /record; where files may be, and that one recording runs at a time. Does not: what is written
(`recording.recorder`).
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from metaproxy import units
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, Json, as_json, nearest
from metaproxy.admin.tap import chosen
from metaproxy.admin.view import View
from metaproxy.app.service import Watcher
from metaproxy.recording.recorder import Recorder
from metaproxy.telemetry.access_log.files import LogFiles

log = Logger()

KEYS = ("file", "listener", "match", "max_bytes", "max_seconds")
MAX_SECONDS = 600.0
"""How long a recording lasts that does not say."""
WRITTEN = 5.0
"""Seconds that the end of a recording waits for a slow disk."""
LEAST = 64 << 10
"""Bytes that a recording may have at least."""
_SHAPE = '{"file": "NAME", "listener": NAME, "match": ...}'
_NAME = re.compile(r"[A-Za-z0-9][\w.\-]{0,127}", re.ASCII)


class Record(Endpoint):
    path = "/record"
    about = (
        'POST {"file": NAME, "listener", "match", "max_bytes", "max_seconds"}, all optional: writes exchanges with '
        "their frames to a file on the proxy's machine. GET says how far it is, DELETE ends it."
    )

    def __init__(self, view: View) -> None:
        self._proxy = view.proxy
        self._configuration = view.configuration
        self._reactor = view.reactor
        self._logs = view.logs or LogFiles(view.reactor)
        self._recorder: Recorder | None = None
        self._hook: Watcher | None = None
        if hasattr(view.reactor, "addSystemEventTrigger"):
            view.reactor.addSystemEventTrigger("after", "shutdown", self._finish)

    def get(self, ask: AdminRequest) -> AdminResponse:
        return as_json(self._state())

    def post(self, ask: AdminRequest) -> AdminResponse:
        asked = _asked(ask)
        limits = self._configuration.config.record
        choice = chosen(self._proxy, _text(asked, "listener"), _text(asked, "match"))
        max_bytes = _number(asked, "max_bytes", units.size, limits.max_bytes, LEAST, limits.max_bytes)
        default = min(MAX_SECONDS, limits.max_time)
        max_seconds = _number(asked, "max_seconds", units.seconds, default, 0.001, limits.max_time)
        if self._recording:
            raise HttpError(409, "a recording is under way; DELETE /record ends it", "path")
        path = _made(limits.folder, _text(asked, "file"))
        given = {key: asked[key] for key in ("listener", "match") if asked.get(key)}
        recorder = Recorder(self._logs.single(str(path)), choice, int(max_bytes), max_seconds, self._ended, **given)
        self._recorder, self._hook = recorder, recorder.on_complete
        self._proxy.watch(self._hook, on_chunk=recorder.on_chunk)
        log.info("admin: recording to {path}", path=str(path))
        return as_json(self._state())

    def delete(self, ask: AdminRequest) -> Deferred[AdminResponse]:
        """Fires when the file is whole, so that who asked can read it, or after WRITTEN."""
        recorder = self._recorder
        if not self._recording or recorder is None:
            raise HttpError(404, "nothing is being recorded", "path")
        recorder.stop("request")
        written = recorder.file.flushed()
        written.addTimeout(WRITTEN, self._reactor, onTimeoutCancel=lambda result, timeout: None)
        return written.addCallback(lambda _: as_json(_state_of(recorder)))

    @property
    def _recording(self) -> bool:
        return self._recorder is not None and not self._recorder.why

    def _ended(self) -> None:
        recorder = self._recorder
        if self._hook is not None:
            self._proxy.unwatch(self._hook)
        if recorder is not None:
            log.info(
                "admin: recorded {count} exchanges to {path}, ended by {why}",
                count=recorder.exchanges, path=recorder.file.path, why=recorder.why,
            )  # fmt: skip

    def _finish(self) -> None:
        """Called at the end of the process, when no thread writes any more."""
        if self._recording and self._recorder is not None:
            self._recorder.stop("the proxy ended")
        if self._recorder is not None:
            self._recorder.file.finish()

    def _state(self) -> Json:
        if self._recorder is None:
            return {"recording": False, "file": None, "exchanges": 0}
        return _state_of(self._recorder)


def _state_of(recorder: Recorder) -> Json:
    return {"recording": not recorder.why, "file": recorder.file.path, **recorder.figures()}


def _asked(ask: AdminRequest) -> Json:
    asked = ask.json(_SHAPE)
    asked = {} if asked is None and not ask.body.strip() else asked
    if not isinstance(asked, dict):
        raise HttpError(400, f"not a JSON object; write {_SHAPE}", "body")
    for key in asked:
        if key not in KEYS:
            raise HttpError(400, f"no key {key[:100]!r}; {nearest(key, KEYS)}", "body")
    return asked


def _text(asked: Json, key: str) -> str:
    value = asked.get(key)
    value = "" if value is None or (key == "match" and not value) else value
    if key == "match" and isinstance(value, dict):
        return json.dumps(value)
    if not isinstance(value, str):
        raise HttpError(400, f"{key} is not a text", key)
    return value


def _number(asked: Json, key: str, read: Callable[[object], float], default: float, least: float, most: float) -> float:
    try:
        value: float = read(asked.get(key, default))
    except ValueError as error:
        raise HttpError(400, str(error), key) from None
    if not least <= value <= most:
        raise HttpError(400, f"{value:g} is out of bounds; allowed are {least:g} to {most:g}", key)
    return value


# -- files


def _made(folder: Path | None, name: str) -> Path:
    """Make an empty file that only this user can read. Raises HttpError where there is one, or no file may be."""
    path = Path(name or time.strftime("recording-%Y%m%dT%H%M%SZ.jsonl", time.gmtime()))
    try:
        where = _own_folder() if folder is None else folder.absolute()
        if path.is_absolute() and path.parent == where:
            path = Path(path.name)
        if str(path) != path.name or not _NAME.fullmatch(path.name):
            text = f"{name[:200]!r} is no name of a file in {where}; write one such as monday.jsonl"
            raise HttpError(400, text, "file")
        where.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(where / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise HttpError(409, f"{path} is there already; choose another name", "file") from None
    except OSError as error:
        raise HttpError(400, f"{error.filename}: {error.strerror}", "file") from None
    return where / path


def _own_folder() -> Path:
    """Return a folder that only this user made and can read: other users write to the folder that it is in."""
    where = Path(tempfile.gettempdir()) / f"metaproxy-{os.getuid()}"
    try:
        where.mkdir(mode=0o700)
    except FileExistsError:
        found = where.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            text = f"{where} is not this user's alone; write record: {{folder: ...}} in the configuration"
            raise HttpError(400, text, "file") from None
    return where
