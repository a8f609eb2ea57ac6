"""
A real Kubernetes API server with the etcd that it keeps its objects in: no nodes, no controllers.

Lives here: `Cluster`, which starts, kills and restarts it, and asks it over its REST API; the custom resources of the
tests. Does not: assertions. The binary is named by KUBE_APISERVER, or was built by `make interop-istio`.

Nothing but the tests writes Services' EndpointSlices, as controllers would: so they say what is in them.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from authority import Authority
from running import PEERS, ROOT, Program, eventually, free_port

TOKEN = "admin-token"
"""Of a user who may do everything."""
ADDRESS = "10.9.9.9"
"""What endpoints are called that serve on 127.0.0.1, see tests/interop/istio/alone."""
Object = dict[str, Any]

PLURALS = {
    "Namespace": "namespaces", "Service": "services", "Secret": "secrets", "ServiceAccount": "serviceaccounts",
    "EndpointSlice": "endpointslices", "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings",
    "CustomResourceDefinition": "customresourcedefinitions",
    "MetaRouter": "metarouters", "ApplicationProtocol": "applicationprotocols", "RedisService": "redisservices",
    "DubboAuthorizationPolicy": "dubboauthorizationpolicies", "RedisDestination": "redisdestinations",
    "ServiceEntry": "serviceentries", "WorkloadEntry": "workloadentries", "DestinationRule": "destinationrules",
    "VirtualService": "virtualservices", "Gateway": "gateways", "EnvoyFilter": "envoyfilters",
}  # fmt: skip


def kube_apiserver() -> Path:
    """The program, wherever it is."""
    return Path(os.environ.get("KUBE_APISERVER") or PEERS / "bin" / "kube-apiserver")


class Cluster:
    """
    An API server on 127.0.0.1. url: of it; kubeconfig: for who may do everything; admin: for requests of the test.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port, etcd, peer = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        self._etcd_url = f"http://127.0.0.1:{etcd}"
        self._certificates = directory / "certificates"
        self._write_keys()
        own = f"http://127.0.0.1:{peer}"
        etcd_program = shutil.which("etcd")
        assert etcd_program, "etcd is not there; run tests/interop/install PYTHON"
        self._etcd = Program(
            [etcd_program, "--data-dir", directory / "etcd", "--listen-client-urls", self._etcd_url,
             "--advertise-client-urls", self._etcd_url, "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
             "--initial-cluster", f"default={own}", "--unsafe-no-fsync"],
            directory / "etcd.log", ready=lambda: _health(self._etcd_url + "/health"),
        )  # fmt: skip
        self._tls = ssl.create_default_context()
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._server: Program | None = None
        self.start()
        self.kubeconfig = self.write_kubeconfig("admin", token=TOKEN)

    def _write_keys(self) -> None:
        """What signs the tokens of service accounts, and the token of the test."""
        folder = self._directory
        for command in (["genrsa", "-out", "sa.key", "2048"], ["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"]):
            subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
        (folder / "tokens").write_text(f"{TOKEN},admin,admin,system:masters\n")
        self._clients = Authority(folder, "clients")

    def start(self) -> None:
        """Start the server, on the port and the objects that it had before."""
        assert self._server is None
        folder = self._directory
        self._server = Program(
            [kube_apiserver(), "--etcd-servers", self._etcd_url, "--bind-address", "127.0.0.1",
             "--advertise-address", "127.0.0.1", "--secure-port", str(self._port), "--cert-dir", self._certificates,
             "--service-account-key-file", folder / "sa.pub", "--service-account-signing-key-file", folder / "sa.key",
             "--service-account-issuer", "https://localhost", "--service-cluster-ip-range", "10.96.0.0/16",
             "--token-auth-file", folder / "tokens", "--client-ca-file", self._clients.ca,
             "--authorization-mode", "RBAC",
             "--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none"],
            folder / "kube-apiserver.log", {"GOMAXPROCS": "2"}, ready=self._ready,
        )  # fmt: skip

    def _ready(self) -> bool:
        time.sleep(0.1)
        try:
            return str(self.ask("GET", "/readyz")) == "ok"
        except OSError:
            return False

    def kill(self) -> None:
        """End the server as a crash would."""
        assert self._server is not None
        self._server.kill()
        self._server = None

    def stop(self) -> None:
        if self._server is not None:
            self.kill()  # it would wait for its watches
        self._etcd.stop()

    # -- who asks

    def kubeconfig_with_certificate(self, user: str) -> Path:
        """A kubeconfig for a user that has a certificate and no token."""
        issued = self._clients.issue(user)
        return self.write_kubeconfig(user, **{
            "client-certificate": str(issued.certificate),
            "client-key-data": base64.b64encode(issued.key.read_bytes()).decode(),
        })  # fmt: skip

    def write_kubeconfig(self, name: str, **user: str) -> Path:
        """A kubeconfig that trusts the server's own certificate."""
        file = self._directory / f"{name}.kubeconfig"
        authority = str(self._certificates / "apiserver.crt")
        file.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": authority}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        }))  # fmt: skip
        return file

    def kubeconfig_of(self, namespace: str, account: str) -> Path:
        """A kubeconfig for a service account, with a token as a pod gets one."""
        return self.write_kubeconfig(account, token=self.token_of(namespace, account))

    def token_of(self, namespace: str, account: str, *audiences: str) -> str:
        """A token of a service account, for the API server or for others."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        spec = {"audiences": list(audiences)} if audiences else {}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        token: str = self.ask("POST", path, request)["status"]["token"]
        return token

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """What the server answers, decoded. Raises OSError when it is not there, Refused when it says no."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=10) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from error
        try:
            return json.loads(text)
        except ValueError:
            return text

    # -- objects

    def apply(self, *objects: Object) -> None:
        """Make objects, or make them what they are now."""
        for each in objects:
            text = {**each, "metadata": {**each["metadata"]}}
            query = "?fieldManager=test&force=true"
            self.ask("PATCH", path_of(each) + query, text, "application/apply-patch+yaml")

    def apply_files(self, *files: Path) -> None:
        """All objects of YAML files."""
        self.define(*(each for file in files for each in yaml.safe_load_all(file.read_text()) if each))

    def define(self, *objects: Object) -> None:
        """As `apply`; the kinds that are defined can be used when this returns."""
        self.apply(*objects)
        for each in objects:
            if each["kind"] == "CustomResourceDefinition":
                assert eventually(partial(self._established, each), 10), each["metadata"]["name"]

    def _established(self, definition: Object) -> bool:
        conditions = self.get(definition).get("status", {}).get("conditions", [])
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    def get(self, found: Object) -> Object:
        """The object as it is now."""
        answer: Object = self.ask("GET", path_of(found))
        return answer

    def delete(self, found: Object) -> None:
        self.ask("DELETE", path_of(found))

    def namespace(self, name: str) -> None:
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


class Refused(OSError):
    """The API server does not want it."""


def path_of(found: Mapping[str, Any]) -> str:
    api, metadata = found["apiVersion"], found["metadata"]
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"/{'apis' if '/' in api else 'api'}/{api}{namespace}/{PLURALS[found['kind']]}/{metadata['name']}"


def _health(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def endpoint_slice(service: str, port: int, port_name: str = "tcp-dubbo", name: str = "") -> Object:
    """A slice of the namespace `shop` with a server on 127.0.0.1."""
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name or f"{service}-{port}", "namespace": "shop", "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4", "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
    }  # fmt: skip


CRDS = ROOT / "deploy" / "kubernetes" / "crds.yaml"
RBAC = ROOT / "deploy" / "kubernetes" / "rbac.yaml"
