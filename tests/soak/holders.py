"""
A process that holds many connections to the proxy: `python tests/soak/holders.py PORT COUNT SOURCE...`.

It opens them in turn from the addresses SOURCE of this machine, as there are some 28,000 ports for each, asks once on
each, and prints how many were answered. After each line that it reads it asks on all again; it ends with its input.
Lives here: the process. Does not: the protocol's bytes (`peers`), the proxy.
"""

from __future__ import annotations

import socket
import sys

from peers import answer, call

PATIENCE = 30.0
_IP_BIND_ADDRESS_NO_PORT = 24
"""Of Linux's netinet/in.h; the socket module does not have it."""


def connected(port: int, source: str) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def is_answered(sock: socket.socket, id: int) -> bool:
    body = b"%d" % id
    wanted = answer(id, body)
    try:
        sock.sendall(call(id, b"echo", body))
        data = b""
        while len(data) < len(wanted):
            piece = sock.recv(4096)
            if not piece:
                return False
            data += piece
    except OSError:
        return False
    return data == wanted


def main() -> None:
    port, count, sources = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    held = []
    well = 0
    for number in range(count):
        held.append(connected(port, sources[number % len(sources)]))
        well += is_answered(held[-1], number + 1)
    print(well, flush=True)
    for _ in sys.stdin:
        print(sum(is_answered(sock, number + 1) for number, sock in enumerate(held)), flush=True)


if __name__ == "__main__":
    main()
