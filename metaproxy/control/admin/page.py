"""
The page of the fleet at `/`: plain files that a browser runs over the rest of this API.

Lives here: serving them. Does not: the page itself (`static/`), the parts that it shares with the proxy's page.
"""

from __future__ import annotations

from metaproxy.admin.page import read
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, nearest

_FILES = "metaproxy.control.admin"


class Page(Endpoint):
    path = "/"
    about = "The page of the fleet. No token; it asks for one."
    open = True

    def __init__(self) -> None:
        self._page = read(_FILES)["fleet.html"]

    def get(self, ask: AdminRequest) -> AdminResponse:
        return self._page


class Static(Endpoint):
    path = "/static/{name}"
    about = "What the page is made of. No token."
    open = True

    def __init__(self) -> None:
        self._files = {**read(), **read(_FILES)}

    def get(self, ask: AdminRequest) -> AdminResponse:
        name = ask.place["name"]
        found = self._files.get(name)
        if found is None:
            raise HttpError(404, f"no file {name[:200]!r}; {nearest(name, list(self._files))}", "path")
        return found
