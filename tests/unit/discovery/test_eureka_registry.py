"""The bounds of the copy; test_eureka.py has what is asked when."""

from __future__ import annotations

import pytest
from scripted_calls import ScriptedCalls
from twisted.internet.task import Clock

from metaproxy.discovery.eureka_registry import Entry, Registry, read_instance
from metaproxy.discovery.http_registry import Servers


def test_more_instances_than_allowed_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.discovery.eureka_registry.MOST", 2)
    calls, failures = ScriptedCalls(), list[str]()
    registry = Registry(Clock(), Servers("eureka", ["http://127.0.0.1:1"], calls), 5.0)
    found: list[list[Entry]] = []
    registry.join("WEB", "user", found.append, failures.append)
    instances = [{"instanceId": str(n)} for n in range(3)]
    calls.last.answer({"applications": {"application": [{"name": "WEB", "instance": instances}]}})
    assert failures == ["eureka: more than 2 instances"]
    assert found == []


def test_an_instance_without_an_address_has_its_hosts_name() -> None:
    assert read_instance({"hostName": "host", "port": 80, "status": "UP"}).address == "host:80"
