"""First bytes of TLS, as OpenSSL's client writes them."""

from __future__ import annotations

import ssl


def hello_of(name: str | None = None, alpn: tuple[str, ...] = ()) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


CALLS = (hello_of("a.example.org"), hello_of(), hello_of("a.example.org", ("istio", "h2")))
