"""
A Dubbo provider, dubbo-py: py_server.py NAME PORT

fail(why) answers status 70, crash(why) status 90; a method that it does not have gets no answer at all.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import dubbo.server
from dubbo.errors import DubboError

NAME, PORT = sys.argv[1], int(sys.argv[2])
SERVICE_ERROR = 70

_notes: list[str] = []
_bind = dubbo.server._DubboServer.__init__

# The library asks the machine for its public address and binds every interface; there is no option for either.
dubbo.server.get_pub_ip = lambda: "127.0.0.1"
dubbo.server._DubboServer.__init__ = lambda self, address, handler: _bind(self, ("127.0.0.1", address[1]), handler)


def text(value: Any) -> str:
    """Strings arrive as bytes or str, by their length."""
    return value.decode() if isinstance(value, bytes) else str(value)


def slow(milliseconds: int) -> int:
    time.sleep(milliseconds / 1000)
    return milliseconds


def fail(why: Any) -> None:
    raise DubboError(SERVICE_ERROR, text(why))


def crash(why: Any) -> None:
    raise ValueError(text(why))


service = dubbo.server.DubboService(PORT, "demo")
for method, handler in {
    "whoami": lambda: NAME,
    "sayHello": lambda who: f"hello {text(who)} from {NAME}",
    "add": lambda a, b: a + b,
    "echo": lambda value: value,
    "slow": slow,
    "fail": fail,
    "crash": crash,
    "note": lambda what: _notes.append(text(what)),
    "noted": lambda: list(_notes),
}.items():
    service.add_method("org.example.HelloService", method, handler)
service.start()
print("ready", flush=True)
threading.Event().wait()
