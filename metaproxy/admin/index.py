"""
The page at `/help`: which endpoints there are.

Lives here: a list. Does not: any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from metaproxy.admin.resource import AdminRequest, AdminResponse, Endpoint

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>metaproxy</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
dt {{ margin-top: .7rem }} dd {{ margin-left: 0; opacity: .75 }} code, a {{ font-family: ui-monospace, monospace }}
:root {{ color-scheme: light dark }}
</style>
<h1>metaproxy</h1>
<dl>
{entries}
</dl>
</html>
"""


class Index(Endpoint):
    path = "/help"
    about = "This list. No token."
    open = True

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        entries = "\n".join(_entry(endpoint) for endpoint in (self, *endpoints))
        self._page = _PAGE.format(entries=entries).encode()

    def get(self, ask: AdminRequest) -> AdminResponse:
        return AdminResponse(self._page, "text/html; charset=utf-8")


def _entry(endpoint: Endpoint) -> str:
    methods = endpoint.methods()
    path = escape(endpoint.path)
    linked = "GET" in methods and "{" not in path
    # Relative, as all links here are: something in front may have put the API under a path of its own.
    shown = f'<a href="{path.lstrip("/") or "./"}">{path}</a>' if linked else f"<code>{path}</code>"
    also = f" Also {' and '.join(map(escape, endpoint.aliases))}." if endpoint.aliases else ""
    return f"<dt>{', '.join(methods)} {shown}</dt><dd>{escape(endpoint.about)}{also}</dd>"
