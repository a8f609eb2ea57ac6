"""
A WebSocket client, `websockets` (PyPI). Job: {port, path, headers: {}, subprotocols: [], compression: false, ca, steps}

A step is one of these, its result in brackets; a step after the server has closed gives the error ConnectionClosed:
{do: "send", text | bytes (Latin-1)} [null]      {do: "receive"} [the text, or {bytes}]
{do: "fragments", texts: []} [null]              {do: "ping"} [true once it was answered]
{do: "fill", bytes, chunk, whole} [crc32]        {do: "drain", bytes}: reads so many [{bytes, messages, crc32}]
{do: "close", code, reason} [null]               {do: "closed"}: waits for the end [{code, reason}]
{do: "subprotocol"} [it, or null]                {do: "extensions"} [their names]
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator
from typing import Any

from jobs import Job, Result, one, serve
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

WAIT = 30.0
FILL = b"\xa5"


def received(message: str | bytes) -> Any:
    return message if isinstance(message, str) else {"bytes": message.decode("latin-1")}


def chunks(total: int, size: int) -> Iterator[bytes]:
    whole = FILL * size
    for start in range(0, total, size):
        yield whole[: min(size, total - start)]


def fill(connection: ClientConnection, total: int, size: int, whole: bool) -> int:
    crc = 0

    def counted() -> Iterator[bytes]:
        nonlocal crc
        for chunk in chunks(total, size):
            crc = zlib.crc32(chunk, crc)
            yield chunk

    if whole:
        connection.send(counted())
    else:
        for chunk in counted():
            connection.send(chunk)
    return crc


def drain(connection: ClientConnection, total: int) -> dict[str, int]:
    seen = messages = crc = 0
    while seen < total:
        for fragment in connection.recv_streaming():
            assert isinstance(fragment, bytes)
            seen += len(fragment)
            crc = zlib.crc32(fragment, crc)
        messages += 1
    return {"bytes": seen, "messages": messages, "crc32": crc}


def closed(connection: ClientConnection) -> dict[str, Any]:
    try:
        while True:
            connection.recv(WAIT)
    except ConnectionClosed:
        return {"code": connection.close_code, "reason": connection.close_reason}


def step(connection: ClientConnection, do: str, **given: Any) -> Any:
    if do == "send":
        return connection.send(given["text"] if "text" in given else given["bytes"].encode("latin-1"))
    if do == "fragments":
        return connection.send(iter(given["texts"]))
    if do == "receive":
        return received(connection.recv(WAIT))
    if do == "ping":
        return connection.ping(b"are you there").wait(WAIT)
    if do == "fill":
        return fill(connection, given["bytes"], given["chunk"], given.get("whole", False))
    if do == "drain":
        return drain(connection, given["bytes"])
    if do == "close":
        return connection.close(given.get("code", 1000), given.get("reason", ""))
    if do == "closed":
        return closed(connection)
    if do == "subprotocol":
        return connection.subprotocol
    if do == "extensions":
        return [each.name for each in connection.protocol.extensions]
    raise ValueError(f"no step {do!r}")


def run(job: Job) -> list[Result]:
    tls = ssl.create_default_context(cafile=job["ca"]) if "ca" in job else None
    options = {
        "additional_headers": job.get("headers", {}),
        "subprotocols": job.get("subprotocols") or None,
        "compression": "deflate" if job.get("compression") else None,
        "ssl": tls,
        "server_hostname": "localhost" if tls else None,
        "max_size": None,
        "ping_interval": None,
        "proxy": None,
        "open_timeout": WAIT,
        "close_timeout": WAIT,
    }
    made: list[ClientConnection] = []
    url = f"ws{'s' if tls else ''}://127.0.0.1:{job['port']}{job.get('path', '/echo')}"
    opened = one(lambda: made.append(connect(url, **options)))
    if not made:
        return [opened] * len(job["steps"])
    try:
        return [one(lambda given=given: step(made[0], **given)) for given in job["steps"]]
    finally:
        made[0].close()


serve(run)
