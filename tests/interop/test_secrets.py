"""
Secrets are never shown: not by the admin API, not in logs, errors or tracebacks, whatever goes wrong.

Lives here: a proxy full of one canary text, things that go wrong around it, and a search of all that was said. Does
not: what secrets are for (test_redis.py, test_redis_acl.py).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catalogue
import pytest
import yaml
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

FILTER = """
from zope.interface import implementer
from metaproxy.interfaces import IFilter, IOnRequest
from metaproxy.plugins import Declaration

@implementer(IOnRequest)
class Breaks:
    def __init__(self, password: str):
        self.password = password

    def on_request(self, exchange):
        secret_here = self.password
        if exchange.get("key") == "break":
            raise RuntimeError("something else is wrong")
        return None

breaks = Declaration(IFilter, "breaks", Breaks)
"""


@pytest.fixture
def outspoken(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Proxy]]:
    """A proxy whose log may, and here must, hold a traceback."""
    made: list[Proxy] = []

    def start(config: dict[str, Any]) -> Proxy:
        made.append(Proxy(config, tmp_path))
        return made[-1]

    yield start
    for one in made:
        one._program.stop()


@pytest.mark.peer("redis-py", "redis-server")
def test_a_secret_is_nowhere_in_what_the_proxy_says(
    start_here: Start, outspoken: Callable[..., Proxy], tmp_path: Path
) -> None:
    import redis

    canary = f"canary-{uuid.uuid4().hex}"
    secret = tmp_path / "secret"
    secret.write_text(canary + "\n")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "breaks.py").write_text(FILTER)
    open_server, closed_server = free_port(), free_port()
    start_here(catalogue.redis_server(open_server, tmp_path), lambda: answers(open_server))
    start_here(
        catalogue.redis_server(closed_server, tmp_path, "--requirepass", "other"), lambda: answers(closed_server)
    )
    port, login, users = free_port(), free_port(), free_port()
    told = {"secret": "canary"}
    log = tmp_path / "access.json"
    config: dict[str, Any] = {
        "plugins": [str(tmp_path / "plugins")],
        "secrets": {"canary": {"file": str(secret)}, "key": {"value": "x" * 32}},
        "listeners": [
            listener(
                "front", port, {"name": "redis", "auth": {"password": told}}, [{"cluster": "open"}],
                filters=[{"breaks": {"password": told}}], access_log=[{"file": str(log), "format": "json"}],
            ),
            listener("login", login, "redis", [{"cluster": "closed"}]),
            listener(
                "users", users,
                {"name": "redis", "users": [{"name": "app", "passwords": [told], "rules": "+@all ~*"}]},
                [{"cluster": "open"}],
            ),
        ],
        "clusters": [
            cluster("open", open_server),
            cluster("closed", closed_server, credentials={"user": "default", "password": told}),
        ],
    }  # fmt: skip
    running = outspoken(config)
    said: list[str] = []
    with redis.Redis(port=port, password=canary) as client:
        assert client.set("a", "1") and client.get("a") == b"1"
        with pytest.raises(redis.exceptions.RedisError) as failed:
            client.get("break")
        said.append(str(failed.value))
    with redis.Redis(port=port, password=canary[:-1], retry=None) as stranger:
        with pytest.raises(redis.exceptions.RedisError) as failed:
            stranger.get("a")
        said.append(str(failed.value))
    with redis.Redis(port=login, retry=None) as client, pytest.raises(redis.exceptions.RedisError) as failed:
        client.get("a")
    assert "login refused" in str(failed.value)
    said.append(str(failed.value))
    with redis.Redis(port=users, username="app", password=canary) as client:
        assert client.get("a") == b"1"
    # Configurations that are wrong around the secret.
    for change in ({"limit": told}, {"limti": told}, {"limit": 5, "per": told}):
        wrong = {**config, "listeners": [{**config["listeners"][1], "filters": [{"local_rate_limit": change}]}]}
        text = yaml.safe_dump(wrong).encode()
        said += [running.ask("/config", "PUT", text)[1], running.ask("/check", "POST", text)[1]]
    running.write({**config, "clusters": [cluster("open", open_server, credentials={"password": told, "nonsense": 5})]})
    said.append(running.ask("/reload", "POST")[1])
    running.write(config)
    running.ask("/reload", "POST")
    paths = [
        "/config_dump",
        "/stats",
        "/metrics",
        "/clusters",
        "/listeners",
        "/routes",
        "/plugins",
        "/server_info",
        "/runtime",
    ]
    said += [running.admin(path) if path in ("/stats", "/metrics") else str(running.admin(path)) for path in paths]
    # A secret that is replaced while it is used is as hidden as the one before.
    new = f"canary-{uuid.uuid4().hex}"
    secret.write_text(new + "\n")

    def taken() -> bool:
        with redis.Redis(port=port, password=new, retry=None) as client:
            try:
                return bool(client.set("b", "1"))
            except redis.exceptions.RedisError:
                return False

    assert eventually(taken, 10, 0.2)
    said.append(str(running.admin("/config_dump")))
    time.sleep(0.5)
    assert eventually(log.exists)
    everything = "\n".join([*said, running.log(), log.read_text()])
    assert "RuntimeError" in running.log()  # the traceback is there, without what the frame held
    assert canary not in everything and new not in everything
    assert canary.encode().hex() not in everything
