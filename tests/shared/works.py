"""A builder, and what it made of one configuration after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.proxy.snapshot import Snapshot
from metaproxy.telemetry.access_log.filter import LogFiles

PLUGINS = '''
from zope.interface import implementer
from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import ICodec, IFilter, ILoadBalancer, IOnComplete, IOnRequest, IOnResponse
from metaproxy.plugins import Declaration

class Mine(Codec):
    name = "mine"
    mutable = ""
    hash_aliases = {"key": "tag"}

    def __init__(self, depth: int = 1):
        self.depth = depth

    def session(self, side, max_frame):
        return LengthFramed(1, lambda data, at: 1, None, max_frame)

    def reply(self, request, kind, text, name=""):
        return b""

@implementer(IOnRequest, IOnResponse, IOnComplete)
class Three:
    """Has every hook."""

    def __init__(self, clock, size: int = 1):
        self.clock, self.size = clock, size

    def on_request(self, exchange):
        return None

    def on_response(self, exchange):
        return None

    def on_complete(self, exchange):
        return None

@implementer(ILoadBalancer)
class First:
    uses_hash = True

    def __init__(self, endpoints, key: str = "key", other: int = 1):
        self.endpoints, self.keys = endpoints, (key,)

    def pick(self, hash_value):
        return self.endpoints[0]

mine = Declaration(ICodec, "mine", Mine)
three = Declaration(IFilter, "three", Three)
first = Declaration(ILoadBalancer, "first", First)
'''


def listener(name: str = "front", routes: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    given = routes if routes is not None else [{"name": "all", "cluster": "one"}]
    return {"name": name, "listen": "127.0.0.1:0", "protocol": "mine", "routes": given, **more}


def cluster(name: str = "one", **more: Any) -> dict[str, Any]:
    return {"name": name, "endpoints": ["127.0.0.1:1"], **more}


class Works:
    """A builder with drop-in plugins of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "plugins.py"
        self.file.write_text(PLUGINS)
        self.registry = Registry([folder])
        self.clock = Clock()
        self.logs = LogFiles(self.clock, run=lambda call: succeed(call()))
        self.builder = Builder(self.registry, self.clock, self.logs)

    def only_build(self, *listeners: dict[str, Any], clusters: Any = ()) -> Snapshot:
        text = json.dumps({"listeners": listeners or [listener()], "clusters": clusters or [cluster()]})
        config, problems = check(text, "x.yaml", self.registry)
        assert config is not None, [str(problem) for problem in problems]
        return self.builder.build(config)

    def put(self, *listeners: dict[str, Any], clusters: Any = ()) -> Snapshot:
        snapshot = self.only_build(*listeners, clusters=clusters)
        self.builder.commit(snapshot)
        return snapshot


@pytest.fixture
def works(tmp_path: Path) -> Works:
    return Works(tmp_path)
