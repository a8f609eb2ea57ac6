"""
What became of the objects of a mesh: which hold, which are refused and why.

Lives here: /crds. Does not: reading objects (`metaproxy.mesh`).
"""

from __future__ import annotations

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, as_json
from metaproxy.admin.roles import ObjectStatus
from metaproxy.admin.view import View


class Crds(Endpoint):
    path = "/crds"
    about = (
        "What became of each object that `crds:` gives: accepted, refused, or kept as it was before, and why; `kind=` "
        "and `namespace=` choose some, `wrong=1` those about which there is something to say."
    )

    def __init__(self, view: View) -> None:
        self._configuration = view.configuration

    def get(self, ask: AdminRequest) -> AdminResponse:
        status = self._configuration.mesh_status()
        if status is None:
            raise HttpError(404, "no objects are read; write crds: {folder: ./mesh}", "crds")
        objects = [one for one in status["objects"] if _asked(one, ask)]
        return as_json({**status, "objects": objects})


def _asked(one: ObjectStatus, ask: AdminRequest) -> bool:
    chosen = {"kind": one["kind"], "namespace": one["namespace"]}
    if any(name in ask.query and ask.query[name] != value for name, value in chosen.items()):
        return False
    wrong = one["state"] != "accepted" or one["warnings"] or one["notes"]
    return bool(wrong) or ask.query.get("wrong", "0") in ("", "0", "false")
