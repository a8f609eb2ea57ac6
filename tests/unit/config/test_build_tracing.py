"""`tracing:` from a configuration to the objects of listeners, and what stays of them over a reload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from stand import Stand

from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.telemetry.tracing.filter import Tracing
from metaproxy.telemetry.tracing.spans import Spans

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def config(*listeners: Any, tracing: Any = None, node: Any = None, protocol: str = "quill") -> str:
    return json.dumps(
        {
            "plugins": [str(EXAMPLES)],
            "node": node or {},
            **({"tracing": tracing} if tracing else {}),
            "listeners": [
                {
                    "name": f"front{number}", "listen": f"127.0.0.1:{7000 + number}", "protocol": protocol,
                    "routes": [{"cluster": "one"}], **({} if one is None else {"tracing": one}),
                }
                for number, one in enumerate(listeners)
            ],
            "clusters": [{"name": "one", "endpoints": ["127.0.0.1:1"]}],
        }
    )  # fmt: skip


OTLP = {"exporter": "otlp"}


def plugins(stand: Stand) -> tuple[list[Tracing], list[Spans]]:
    found = [use.plugin for use in stand.snapshot.filters]
    return [one for one in found if isinstance(one, Tracing)], [one for one in found if isinstance(one, Spans)]


def problems(text: str) -> list[str]:
    return [problem.text for problem in check(text, "x.yaml", Registry([EXAMPLES]))[1]]


def test_listeners_share_the_exporter_and_have_their_own_policy(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config({"sampling": 10}, {}, None, tracing=OTLP))
    assert stand.errors == []
    made, sent = plugins(stand)
    assert [one.policy.sampling for one in made] == [10.0, 100.0]
    assert len({id(one) for one in sent}) == 1
    hooks = [stand.snapshot.listeners[f"front{number}"].routes.routes[0].on_request for number in range(3)]
    assert [len(one) for one in hooks] == [1, 1, 0]
    assert hooks[0][0].__self__ is made[0]


def test_a_reload_that_leaves_tracing_as_it_was_keeps_it(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config({"sampling": 10}, {}, tracing=OTLP))
    (first, second), (sent, _) = plugins(stand)
    stand.write(config({"sampling": 20}, {}, tracing=OTLP))
    assert stand.configuration.reload() == []
    (other, same), (still, _) = plugins(stand)
    assert (same is second, still is sent, other is first) == (True, True, False)
    stand.write(config({"sampling": 20}, {}, tracing={**OTLP, "service": "x"}))
    assert stand.configuration.reload() == []
    (_, new), (another, _) = plugins(stand)
    assert new is not same and another is not sent and sent.stopped and not another.stopped


def test_what_is_written_reaches_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAPROXY_TEST_POD", "pod-1")
    listener = {
        "client_sampling": 1, "overall_sampling": 2, "follow_context": True, "trust": False, "direction": "outbound",
        "propagation": "b3", "metadata": ["Tenant"], "max_tag_length": 20,
        "tags": {"a": {"literal": 7}, "b": {"metadata": "K", "default": "d"}, "c": {"env": "METAPROXY_TEST_POD"}},
    }  # fmt: skip
    top = {"exporter": "zipkin", "url": "http://127.0.0.1:1/x", "headers": {"k": "v"}, "max_queue": 3, "interval": "2s"}
    node = {"id": "n", "cluster": "c", "zone": "z"}
    stand = Stand(tmp_path, config(listener, tracing=top, node=node))
    assert stand.errors == []
    (made,), (sent,) = plugins(stand)
    policy = made.policy
    assert (policy.client, policy.overall, policy.follow, policy.trust) == (1, 2, True, False)
    assert (policy.direction, policy.metadata, policy.max_tag_length) == ("outbound", ("tenant",), 20)
    assert [(tag.name, tag.value, tag.key, tag.default) for tag in policy.tags] == [
        ("a", "7", "", ""), ("b", "", "k", "d"), ("c", "pod-1", "", ""),
    ]  # fmt: skip
    assert not made.carries  # quill has no place for metadata
    assert made.fixed == {"component": "proxy", "node_id": "n", "zone": "z"}
    exporter = sent.make()
    assert isinstance(exporter, ZipkinExporter)
    assert (exporter.endpoint, exporter.session.headers["k"]) == ("http://127.0.0.1:1/x", "v")
    assert (sent.about, sent.most, sent.interval) == ({"service.name": "c", "service.instance.id": "n"}, 3, 2.0)
    exporter.shutdown()


def test_the_share_may_be_a_live_value(tmp_path: Path) -> None:
    text = json.loads(config({"sampling": {"runtime": "share"}}, tracing=OTLP))
    stand = Stand(tmp_path, json.dumps({**text, "runtime": {"share": 3}}))
    assert stand.errors == []
    (made,), _ = plugins(stand)
    assert made.policy.sampling == 3


def test_only_a_codec_that_says_so_has_its_frames_searched(tmp_path: Path) -> None:
    for protocol, spared in (("dubbo", True), ("quill", False)):
        stand = Stand(tmp_path, config({"request_ids": "traced"}, tracing=OTLP, protocol=protocol))
        (made,), _ = plugins(stand)
        assert made.sparing == spared


def test_a_listener_that_traces_needs_a_collector() -> None:
    (problem,) = problems(config({}))
    assert problem == "nothing says where spans go; write `tracing: {exporter: otlp, url: ...}` at the top"


def test_tracing_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.config.rules.telemetry.find_spec", lambda name: None)
    assert problems(config({}, tracing=OTLP)) == [
        "OpenTelemetry is not installed; pip install '.[tracing]' in the folder of metaproxy's source"
    ]


@pytest.mark.parametrize(
    ("top", "listener", "text"),
    [
        ({"exporter": "jaeger"}, {}, "'jaeger' is not known here"),
        ({"exporter": "otlp", "url": "collector:4318"}, {}, "'collector:4318' is no URL"),
        (OTLP, {"propagation": "jaeger"}, "'jaeger' is not known here"),
        (OTLP, {"tags": {"a": {"literal": "x", "env": "Y"}}}, ""),
        (OTLP, {"sampling": 101}, ""),
    ],
)
def test_mistakes_are_told(top: Any, listener: Any, text: str) -> None:
    (problem,) = problems(config(listener, tracing=top))
    assert text in problem
