"""
HTTP: `codec` for what the proxy asks, `model` for messages of any version; `client` and `server` for connections of
HTTP/1.1, whose heads `requests` and `answers` judge and `heads` reads, whose bodies `bodies` and `chunked` cut;
`switching` for those that go on with HTTP/2, which the package `http2` speaks.
"""

from metaproxy.codecs.http.codec import Http

__all__ = ["Http"]
