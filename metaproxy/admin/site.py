"""
HTTP as the admin API takes it: bodies have a bound, and nothing is logged for each request.

Lives here: `BoundedRequest`, `AdminSite`. Does not: what answers (`resource`), ports (`service`).
"""

from __future__ import annotations

from twisted.web.server import Request, Site

from metaproxy.admin.resource import encoded

MAX_BODY = 16 << 20
"""Bytes of a request's body; as much as a configuration may have."""


class BoundedRequest(Request):
    """Refuses a body over MAX_BODY on its head, or as soon as there is more."""

    _left = MAX_BODY
    _refused = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(0 if length is not None and length > MAX_BODY else length)
        # Every body is taken as it is. Twisted would read that of a form for its fields, and `curl --data` says form.
        self.requestHeaders.removeHeader(b"content-type")
        if length is not None and length > MAX_BODY:
            self._too_long()

    def handleContentChunk(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._too_long()
        if not self._refused:
            super().handleContentChunk(data)

    def _too_long(self) -> None:
        if self._refused:
            return
        self._refused = True
        self.requestHeaders.removeHeader(b"expect")  # or the client would be asked to go on
        body = encoded({"error": f"a body of more than {MAX_BODY} bytes", "where": "body"})
        self.channel.write(
            b"HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.channel.loseConnection()

    def process(self) -> None:
        if self._refused:
            return
        site = getattr(self.channel, "site", None)  # its own `site` is set by `process`
        if isinstance(site, AdminSite) and site.leaving:
            self.channel.persistent = False
            self.setHeader(b"connection", b"close")
        super().process()


class AdminSite(Site):
    """
    Writes no log line for each request; those that change something are logged where they are answered. leaving: a
    connection is closed behind its next answer, as another process has the address now.
    """

    displayTracebacks = False
    noisy = False
    leaving = False

    def log(self, request: object) -> None:
        """See the class."""
