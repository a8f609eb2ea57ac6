"""
Objects of a mesh for tests: written short, read as a file would be.

Lives here: `read_one`, `problems_of`, `router` and their like. Does not: any expectation.
"""

from __future__ import annotations

from textwrap import dedent

import yaml

from metaproxy.mesh.objects.reading import Document, Object, read_text

API = {
    "MetaRouter": "metaprotocol.aeraki.io/v1alpha1",
    "ApplicationProtocol": "metaprotocol.aeraki.io/v1alpha1",
    "DubboAuthorizationPolicy": "dubbo.aeraki.io/v1alpha1",
    "RedisService": "redis.aeraki.io/v1alpha1",
    "RedisDestination": "redis.aeraki.io/v1alpha1",
    "EndpointSlice": "discovery.k8s.io/v1",
    **dict.fromkeys(("Service", "Endpoints", "Pod", "Secret", "ConfigMap"), "v1"),
}
"""The API of each kind; Istio's for those that are not here."""


def documents(text: str, file: str = "mesh.yaml") -> list[Document]:
    return list(read_text(dedent(text), file))


def written(kind: str, name: str, spec: str, at: str = "spec", **metadata: object) -> str:
    """The text of an object. spec: YAML of what stands at `at`; '' where it stands at the top."""
    head = {
        "apiVersion": API.get(kind, "networking.istio.io/v1beta1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": "demo", **metadata},
    }
    inner = yaml.safe_load(dedent(spec))
    return yaml.safe_dump({**head, **({at: inner} if at else inner)}, sort_keys=False)


def problems_of(kind: str, spec: str, at: str = "spec") -> list[str]:
    """What is wrong with an object, each as PATH: TEXT."""
    (document,) = documents(written(kind, "x", spec, at))
    return [problem.split(": ", 2)[2] for problem in document.problems]


def read_one(kind: str, name: str, spec: str, at: str = "spec", **metadata: object) -> Object:
    """An object that is right."""
    (document,) = documents(written(kind, name, spec, at, **metadata))
    assert document.object is not None, document.problems
    return document.object
