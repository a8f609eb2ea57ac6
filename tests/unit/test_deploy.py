"""What deploy/ has is right: configurations that check, and rights for all that is asked of an API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from metaproxy.config.check import check
from metaproxy.kubernetes.endpoint_slices import ENDPOINT_SLICES
from metaproxy.kubernetes.resources import Resource
from metaproxy.mesh.kubernetes_source import read_kinds, resource_of
from metaproxy.plugins import Registry

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
POD = {"POD_IP": "10.0.0.7", "POD_NAME": "metaproxy-1", "POD_NAMESPACE": "mesh", "ADMIN_TOKEN": "0123456789abcdef"}
AERAKI = {"metaprotocol.aeraki.io", "dubbo.aeraki.io", "redis.aeraki.io"}


def objects(file: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((FOLDER / file).read_text()) if one["kind"] == kind]


@pytest.mark.parametrize("file", ["gateway.yaml", "mesh.yaml"])
def test_a_configuration_within_a_manifest_is_right(file: str, tmp_path: Path) -> None:
    (found,) = objects(file, "ConfigMap")
    text = found["data"]["metaproxy.yaml"]
    config, problems = check(text, str(tmp_path / file), Registry(), environ=POD)
    assert problems == [] and config is not None and config.warnings == ()


@pytest.mark.parametrize("file", ["gateway.yaml", "mesh.yaml"])
def test_a_container_has_the_variables_that_its_configuration_names(file: str) -> None:
    (found,) = objects(file, "Deployment")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert {one["name"] for one in container["env"]} == set(POD)


def may(role: str, resource: Resource, verb: str, part: str = "") -> bool:
    """Whether a role of rbac.yaml gives a right."""
    (found,) = (one for one in objects("rbac.yaml", "ClusterRole") if one["metadata"]["name"] == role)
    names = {"*", resource.plural} if not part else {f"{resource.plural}/{part}"}
    return any(
        resource.group in rule["apiGroups"] and names & set(rule["resources"]) and verb in rule["verbs"]
        for rule in found["rules"]
    )


def test_all_that_is_read_may_be_read_and_secrets_only_where_they_are_bound() -> None:
    assert may("metaproxy-discovery", ENDPOINT_SLICES, "watch")
    resources = [resource_of(kind) for kind in read_kinds()]
    assert [one.label for one in resources if not may("metaproxy-mesh", one, "list")] == ["secrets"]
    assert [one.label for one in resources if not may("metaproxy-mesh", one, "watch")] == ["secrets"]
    bound = {one["roleRef"]["name"] for one in objects("rbac.yaml", "ClusterRoleBinding")}
    assert bound >= {"metaproxy-discovery", "metaproxy-mesh"} and "metaproxy-passwords" not in bound


def test_the_status_of_each_of_aerakis_kinds_may_be_written() -> None:
    kinds = [resource_of(kind) for kind in read_kinds() if kind.group in AERAKI]
    assert len(kinds) == 5 and all(may("metaproxy-mesh", one, "patch", "status") for one in kinds)


def test_each_of_aerakis_kinds_is_defined_as_it_is_asked_for() -> None:
    defined = {
        (one["spec"]["group"], version["name"], one["spec"]["names"]["plural"], one["spec"]["names"]["kind"],
         one["spec"]["scope"] == "Namespaced")
        for one in objects("crds.yaml", "CustomResourceDefinition")
        for version in one["spec"]["versions"]
    }  # fmt: skip
    assert defined == {tuple(resource_of(kind)) for kind in read_kinds() if kind.group in AERAKI}
