"""
The live page at `/`: plain files that a browser runs over the rest of this API.

Lives here: serving them from the package. Does not: anything that the page shows; the page itself (`static/`).

No token is needed to load it, as a browser can't send one with a page: it has no data, and asks for the token.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint, HttpError, nearest

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""
What a browser lets the page do: run and fetch what comes from here, nothing inline, nothing from elsewhere. So a name
that a client chose could not run as a script even if the page showed it as markup.
"""

_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}


OURS = "metaproxy.admin"


def read(*packages: str) -> dict[str, AdminResponse]:
    """The files of packages' pages by name."""
    found = {}
    for package in packages:
        for file in files(package).joinpath("static").iterdir():
            content_type = TYPES.get(PurePath(file.name).suffix)
            if content_type is not None:
                found[file.name] = AdminResponse(file.read_bytes(), content_type, headers=_HEADERS)
    return found


class Page(Endpoint):
    path = "/"
    about = "The live page: what flows where, what is wrong, endpoints, live values, tap. No token; it asks for one."
    open = True

    def __init__(self) -> None:
        self._page = read(OURS)["index.html"]

    def get(self, ask: AdminRequest) -> AdminResponse:
        return self._page


class Static(Endpoint):
    path = "/static/{name}"
    about = "What the live page is made of. No token."
    open = True

    def __init__(self, *packages: str) -> None:
        self._files = read(*(packages or (OURS,)))

    def get(self, ask: AdminRequest) -> AdminResponse:
        name = ask.place["name"]
        found = self._files.get(name)
        if found is None:
            raise HttpError(404, f"no file {name[:200]!r}; {nearest(name, list(self._files))}", "path")
        return found
