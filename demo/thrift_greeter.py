"""A Thrift greeter, on the thriftpy2 library: `python -m demo.thrift_greeter PORT NAME`."""

import sys
from pathlib import Path

import thriftpy2
from thriftpy2.rpc import make_server
from thriftpy2.transport import TFramedTransportFactory

greeter = thriftpy2.load(str(Path(__file__).with_name("greeter.thrift")), module_name="greeter_thrift")


class Greeter:
    def __init__(self, name: str) -> None:
        self._name = name

    def sayHello(self, who: str) -> str:
        return f"Hello {who}, response from {self._name}"


def main(port: str, name: str) -> None:
    server = make_server(
        greeter.Greeter, Greeter(name), "127.0.0.1", int(port), trans_factory=TFramedTransportFactory(),
        client_timeout=None,
    )  # fmt: skip
    print("ready", flush=True)
    server.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
