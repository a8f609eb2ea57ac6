"""
A request through a proxy, for h2specd: through.py PROXY_PORT http://127.0.0.1:PORT/

The port of the URL goes into the header x-case. Whatever comes back is read to its end, for at most two seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
from urllib.parse import urlsplit

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
with contextlib.suppress(OSError, http.client.HTTPException):
    connection.request("GET", "/", headers={"x-case": str(urlsplit(sys.argv[2]).port)})
    connection.getresponse().read()
