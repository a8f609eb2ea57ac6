"""From texts and dicts to objects."""

from __future__ import annotations

import pytest
from mesh_objects import documents

from metaproxy.mesh.objects.kinds import KINDS
from metaproxy.mesh.objects.meta_router import ApplicationProtocol
from metaproxy.mesh.objects.reading import Key, read_dict, read_text

PROTOCOL = """\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: ApplicationProtocol
metadata: {name: brpc, labels: {a: b}, annotations: {c: d}, uid: 5, resourceVersion: "17"}
spec: {protocol: brpc, codec: aeraki.meta_protocol.codec.brpc}
"""


def test_an_object_has_its_key_its_labels_its_annotations_and_its_place() -> None:
    (document,) = documents(f"\n{PROTOCOL}")
    made = document.object
    assert made is not None
    assert made.spec == ApplicationProtocol(protocol="brpc", codec="aeraki.meta_protocol.codec.brpc")
    assert (made.labels, made.annotations, made.place) == ({"a": "b"}, {"c": "d"}, "mesh.yaml:2")
    assert document.version == "17"


def test_a_kind_without_namespaces_has_none_and_another_is_in_default() -> None:
    entry = PROTOCOL.replace("metaprotocol.aeraki.io/v1alpha1", "networking.istio.io/v1").replace(
        "ApplicationProtocol", "WorkloadEntry"
    )
    entry = entry.replace("{protocol: brpc, codec: aeraki.meta_protocol.codec.brpc}", "{address: 127.0.0.1}")
    assert [one.key for one in documents(f"{PROTOCOL}---\n{entry}")] == [
        Key("ApplicationProtocol", "", "brpc"),
        Key("WorkloadEntry", "default", "brpc"),
    ]
    assert str(Key("WorkloadEntry", "default", "brpc")) == "WorkloadEntry default/brpc"


def test_a_file_has_several_documents_and_lists_and_empty_ones_count_for_nothing() -> None:
    listed = "\n".join(f"  {line}" for line in PROTOCOL.splitlines())
    text = f"---\n{PROTOCOL}---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {listed.strip()}\n"
    found = documents(text)
    assert [str(one.key) for one in found] == ["ApplicationProtocol brpc"] * 2
    assert [one.place for one in found] == ["mesh.yaml:2", "mesh.yaml:12"]


def test_each_problem_says_the_file_the_line_the_object_and_the_path() -> None:
    (document,) = documents(PROTOCOL.replace("codec:", "codek:"))
    assert document.object is None
    assert document.problems == (
        "mesh.yaml:4: ApplicationProtocol brpc: spec.codek: unknown field 'codek'; did you mean 'codec'?",
    )


def test_all_problems_of_an_object_are_there_at_once() -> None:
    (document,) = documents(PROTOCOL.replace("{protocol: brpc, codec: aeraki.meta_protocol.codec.brpc}", "{x: 5}"))
    assert len(document.problems) == 3


def test_one_bad_document_leaves_the_others_as_they_are() -> None:
    bad, good = documents(f"{PROTOCOL.replace('codec:', 'codek:')}---\n{PROTOCOL}")
    assert (bad.object, good.problems) == (None, ())


def test_a_key_that_is_written_twice_is_a_problem_of_its_object_alone() -> None:
    twice, good = documents(f"{PROTOCOL.replace('codec:', 'protocol: x, codec:')}---\n{PROTOCOL}")
    assert [text.partition(" brpc: ")[2] for text in twice.problems] == [
        "spec.protocol: the key 'protocol' is there already, in line 4"
    ]
    assert good.object is not None


def test_what_is_no_yaml_is_reported_with_its_line_and_what_stands_before_it_is_read() -> None:
    good, bad = documents(f"{PROTOCOL}---\na: [")
    assert good.object is not None
    assert bad.key is None
    assert bad.problems[0].startswith("mesh.yaml:7:")


def test_variables_are_no_variables() -> None:
    (document,) = documents(PROTOCOL.replace("aeraki.meta_protocol.codec.brpc", '"${HOME}"'))
    assert document.object is not None
    assert isinstance(document.object.spec, ApplicationProtocol)
    assert document.object.spec.codec == "${HOME}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kind: ApplicationProtocol", "kind: ApplicationProtokol"), "did you mean 'ApplicationProtocol'?"),
        (("kind: ApplicationProtocol", "sort: x"), "kind is missing"),
        (("v1alpha1", "v1beta1"), "write metaprotocol.aeraki.io/v1alpha1"),
        (("{name: brpc,", "{nam: brpc,"), "name is missing"),
        (("metadata:", "meta:"), "metadata is missing"),
        (("spec:", "spek:"), "did you mean 'spec'?"),
        ((PROTOCOL, "- 5"), "no object"),
    ],
)
def test_what_is_no_object_is_refused_with_what_to_write(change: tuple[str, str], said: str) -> None:
    (document,) = documents(PROTOCOL.replace(*change))
    assert document.object is None
    assert any(said in text for text in document.problems), document.problems


@pytest.mark.parametrize(("api", "kind"), [("apps/v1", "Deployment"), ("gateway.networking.k8s.io/v1", "Gateway")])
def test_kinds_of_other_apis_are_passed_over(api: str, kind: str) -> None:
    (document,) = documents(f"apiVersion: {api}\nkind: {kind}\n")
    assert document.ignored
    assert not document.problems


def test_a_dict_is_read_as_a_text_is() -> None:
    data = {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "ApplicationProtocol",
        "metadata": {"name": "brpc", "resourceVersion": "18"},
        "spec": {"protocol": "brpc", "codec": "x"},
    }
    document = read_dict(data, "kubernetes")
    assert document.object is not None
    assert (document.object.place, document.version) == ("kubernetes", "18")
    assert read_dict({**data, "spec": {"protocol": 5}}, "kubernetes").problems == (
        "kubernetes: ApplicationProtocol brpc: spec: codec is missing",
        "kubernetes: ApplicationProtocol brpc: spec.protocol: 5 is not a text; write '5' in quotes",
    )


def test_a_dict_with_what_json_has_not_is_refused() -> None:
    (text,) = read_dict({"kind": object()}, "kubernetes").problems
    assert text.startswith("kubernetes: ")


def test_null_is_as_if_it_was_not_given() -> None:
    data = {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": "x", "labels": None}}
    assert read_dict({**data, "spec": {"address": "127.0.0.1", "ports": None}}, "kubernetes").object is not None


def test_a_file_that_is_too_large_is_refused() -> None:
    (document,) = read_text("#" * (16 << 20) + "#", "mesh.yaml")
    assert document.problems == ("mesh.yaml:1:1: the file has more than 16 MiB",)


def test_every_kind_has_its_place_in_an_api() -> None:
    assert {kind.plural for kind in KINDS.values()} >= {"metarouters", "endpoints", "serviceentries"}
    assert [kind.name for kind in KINDS.values() if not kind.namespaced] == ["ApplicationProtocol"]
