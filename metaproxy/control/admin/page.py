"""
The page of the fleet at `/`: plain files that a browser runs over the rest of this API.

Lives here: serving them. Does not: the page itself (`static/`), the parts that it shares with the proxy's page.
"""

from __future__ import annotations

from metaproxy.admin import page
from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint

_FILES = "metaproxy.control.admin"


class Page(Endpoint):
    path = "/"
    about = "The page of the fleet. No token; it asks for one."
    open = True

    def __init__(self) -> None:
        self._page = page.read(_FILES)["fleet.html"]

    def get(self, ask: AdminRequest) -> AdminResponse:
        return self._page


class Static(page.Static):
    about = "What the page is made of. No token."

    def __init__(self) -> None:
        super().__init__(page.OURS, _FILES)
