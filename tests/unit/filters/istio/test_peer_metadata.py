from __future__ import annotations

import base64
import os
import random
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from metaproxy.filters.istio import peer_metadata
from metaproxy.filters.istio.peer_metadata import MAX_LABEL, MAX_TEXT, UNKNOWN_PEER, Peer, Peers, decode, encode

NODE: dict[str, Any] = {
    "NAME": "greeter-5d4", "NAMESPACE": "demo", "OWNER": "kubernetes://apis/apps/v1/x", "WORKLOAD_NAME": "greeter",
    "ISTIO_VERSION": "1.20.1", "MESH_ID": "cluster.local", "CLUSTER_ID": "Kubernetes",
    "LABELS": {"app": "hello", "version": "v2", "service.istio.io/canonical-name": "hello",
               "service.istio.io/canonical-revision": "v2"},
    "PLATFORM_METADATA": {"gcp_project": "p"}, "APP_CONTAINERS": ["app", "log"], "INSTANCE_IPS": "10.0.0.1,fe80::1",
    "PROXY_CONFIG": {"secret": "stays"}, "ANNOTATIONS": {"stays": "too"},
}  # fmt: skip


def entry(key: str, value: bytes) -> bytes:
    """A field of google.protobuf.Struct, by hand: map<string, Value> fields = 1; lengths below 128."""
    inner = b"\x0a" + bytes([len(key)]) + key.encode() + b"\x12" + bytes([len(value)]) + value
    return b"\x0a" + bytes([len(inner)]) + inner


def text(value: str) -> bytes:
    """Value.string_value = 3."""
    return b"\x1a" + bytes([len(value)]) + value.encode()


def test_the_text_is_base64_of_a_struct_with_its_entries_in_the_order_of_their_keys() -> None:
    labels = entry("app", text("hello")) + entry("b", text("x"))
    struct = b"\x2a" + bytes([len(labels)]) + labels  # Value.struct_value = 5
    wire = entry("APP_CONTAINERS", text("app,log")) + entry("LABELS", struct) + entry("NAME", text("n"))
    written = encode({"NAME": "n", "LABELS": {"b": "x", "app": "hello"}, "APP_CONTAINERS": ["app", "log"]})
    assert written == base64.b64encode(wire).decode()


def test_equal_nodes_have_equal_texts_in_whatever_order_they_are_written() -> None:
    rng = random.Random(3)
    for _ in range(20):
        keys = list(NODE)
        rng.shuffle(keys)
        assert encode({key: NODE[key] for key in keys}) == encode(NODE)


def test_only_what_istio_tells_is_told() -> None:
    struct = Struct.FromString(base64.b64decode(encode(NODE)))
    assert sorted(struct.fields) == sorted(NODE.keys() - {"PROXY_CONFIG", "ANNOTATIONS"})
    assert struct["APP_CONTAINERS"] == "app,log"
    labels: Any = struct["LABELS"]
    assert dict(labels.items()) == NODE["LABELS"]


def test_a_node_that_says_nothing_of_itself_has_an_empty_text() -> None:
    assert encode({}) == encode({"OTHER": "x"}) == ""


def test_what_was_written_is_read() -> None:
    assert decode(encode(NODE)) == Peer("greeter", "demo", "Kubernetes", "hello", "v2", "hello", "v2")
    assert decode(encode(NODE).rstrip("=")) == decode(encode(NODE))
    assert decode(encode({"WORKLOAD_NAME": "w"})) == Peer("w", canonical_service="w")
    assert decode(encode({"NAMESPACE": "", "LABELS": {"app": ""}})) == UNKNOWN_PEER


def test_a_peer_of_another_shape_is_unknown_where_it_does_not_fit() -> None:
    struct = Struct()
    struct.update({"WORKLOAD_NAME": 7, "NAMESPACE": "n", "LABELS": "none"})
    assert decode(base64.b64encode(struct.SerializeToString()).decode()) == Peer(namespace="n")


@pytest.mark.parametrize("told", ["", "!!!!", "A", "AAAA", "////", "\u00fc" * 8, "A" * (MAX_TEXT + 1)])
def test_what_can_not_be_read_is_nobody(told: str) -> None:
    assert decode(told) == UNKNOWN_PEER
    assert Peers().get(told) == UNKNOWN_PEER


def test_any_bytes_are_read_or_refused() -> None:
    rng = random.Random(int(os.environ.get("SEED", "5")))
    for _ in range(500):
        decode(base64.b64encode(rng.randbytes(rng.randrange(40))).decode())


def test_labels_are_bounded() -> None:
    assert len(decode(encode({"WORKLOAD_NAME": "w" * 5000})).workload) == MAX_LABEL


def test_b21_a_peer_is_decoded_once_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def counting(told: str) -> Peer:
        decoded.append(told)
        return decode(told)

    monkeypatch.setattr(peer_metadata, "decode", counting)
    peers = Peers(most=3)
    texts = [encode({"WORKLOAD_NAME": f"w{number}"}) for number in range(10)]
    for _ in range(5):
        assert peers.get(texts[0]).workload == "w0"
    assert decoded == texts[:1]
    for told in texts:
        assert peers.get(told).workload.startswith("w")
    assert len(peers) == 3
    assert peers.get(None) == UNKNOWN_PEER
