"""
A control plane as a process, whatever its source is.

Lives here: `ControlPlane`. Does not: fixtures, its clients.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from running import ROOT, Program, eventually, free_port

TWISTD = ROOT / ".venv" / "bin" / "twistd"


class ControlPlane:
    """`twistd metaproxy-control --config SOURCE`, whose admin API answers when the constructor returns."""

    def __init__(self, source: str, settings: Mapping[str, Any], directory: Path) -> None:
        self.port, self.admin = free_port(), free_port()
        self.log = directory / f"control-{self.admin}.log"
        own = {"listen": f"127.0.0.1:{self.port}", "admin": {"listen": f"127.0.0.1:{self.admin}"}}
        file = directory / f"control-{self.admin}.yaml"
        file.write_text(json.dumps({**own, **settings}))
        command: list[str | Path] = [
            TWISTD,
            "-n",
            "--pidfile=",
            "metaproxy-control",
            "--config",
            source,
            "--settings",
            file,
        ]
        self._program = Program(command, self.log, ready=self._ready, cwd=directory)

    def _ready(self) -> bool:
        try:
            self.get("/fleet")
        except OSError:
            return False
        return True

    def get(self, path: str) -> Any:
        return self._ask(path, None)

    def post(self, path: str, body: object) -> Any:
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, body: bytes | None) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", body, timeout=5) as answer:
            return json.loads(answer.read())

    def versions(self) -> dict[str, str]:
        """Return the versions by release."""
        return {one["release"]: one["version"] for one in self.get("/versions")["versions"]}

    def comes_to(self, versions: Mapping[str, str] | None = None, other_than: Mapping[str, str] | None = None) -> bool:
        """Whether it serves these soon, or others than those."""
        if versions is not None:
            return bool(eventually(lambda: self.versions() == versions, 15))
        return bool(eventually(lambda: self.versions() not in ({}, other_than), 15))

    def stop(self) -> None:
        self._program.stop()
        text = self.log.read_text(errors="replace")
        assert "Traceback" not in text, text[-3000:]
