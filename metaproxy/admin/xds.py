"""
Control planes: how they do, and what came of what they gave.

Lives here: /xds. Does not: asking them (`metaproxy.xds`).
"""

from __future__ import annotations

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, as_json
from metaproxy.admin.view import View


class Xds(Endpoint):
    path = "/xds"
    about = (
        "Control planes: whether they are reached, what was asked and refused, and each resource with its version, its "
        "last error, and why it is skipped. In Envoy's form: `/config_dump?format=envoy`."
    )

    def __init__(self, view: View) -> None:
        self._configuration = view.configuration

    def get(self, ask: AdminRequest) -> AdminResponse:
        status = self._configuration.xds_status()
        if status is None:
            raise HttpError(404, "no control plane is named; write xds: {server: HOST:PORT}", "xds")
        return as_json(status)
