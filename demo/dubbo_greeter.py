"""A Dubbo greeter, on the dubbo-py library: `python -m demo.dubbo_greeter PORT NAME`."""

import sys

from dubbo.server import _DubboServer, _get_dubbo_request_handler

INTERFACE = "org.aeraki.demo.Greeter"


def main(port: str, name: str) -> None:
    services = {INTERFACE: {"sayHello": lambda who: f"Hello {who}, response from {name}"}}
    # The library's own DubboService listens on every interface; its parts can be told where.
    with _DubboServer(("127.0.0.1", int(port)), _get_dubbo_request_handler(services)) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
