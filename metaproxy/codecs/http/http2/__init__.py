"""
HTTP/2 (RFC 9113): `Http2Client` and `Http2Server`, the sessions of the codec `http` for this version.

The other modules are their parts: frames, settings, compression, stream, sending, connection, floods, translation.
"""

from metaproxy.codecs.http.http2.client import Http2Client
from metaproxy.codecs.http.http2.frames import PREFACE
from metaproxy.codecs.http.http2.options import Options
from metaproxy.codecs.http.http2.server import Http2Server

__all__ = ["PREFACE", "Http2Client", "Http2Server", "Options"]
