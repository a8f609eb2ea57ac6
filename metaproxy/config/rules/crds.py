"""
Rules on objects of Kubernetes: whether what reads them is installed, and whether an API server can be asked.

Lives here: `RULES`. Does not: the objects (`metaproxy.mesh`).
"""

from __future__ import annotations

from importlib.util import find_spec

from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.kubernetes.credentials import CredentialsError, from_kubeconfig
from metaproxy.support.extras import install

RULES = Rules()


@RULES.of(model.Crds)
def _packages_are_there(crds: model.Crds, reading: Reading) -> None:
    if find_spec("envoy") is None:
        reading.problem(reading.at(crds), f"objects of a mesh need the extra `xds`: {install('xds')}")


@RULES.of(model.KubernetesApi)
def _there_is_a_way_to_the_server(api: model.KubernetesApi, reading: Reading) -> None:
    if api.context and api.kubeconfig is None:
        reading.problem(reading.at(api, "context"), "is one of a kubeconfig; write `kubeconfig:`, too")
    elif api.kubeconfig is not None and api.kubeconfig.exists():  # one that is not there yet is read when it is
        try:
            from_kubeconfig(api.kubeconfig, api.context)
        except CredentialsError as error:
            reading.problem(reading.at(api, "kubeconfig"), str(error))
