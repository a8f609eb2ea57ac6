"""
`make demo`: greeters in two versions, metaproxy before them, real clients, and what came of it.

Everything runs on free ports of the loopback interface. `--once` ends when the calls are made; else it goes on calling,
with the admin address on the screen, until Ctrl-C, SIGTERM or SIGHUP.
"""

from __future__ import annotations

import argparse
import logging
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import thriftpy2
from dubbo.client import DubboClient
from thriftpy2.rpc import make_client
from thriftpy2.transport import TFramedTransportFactory

from demo.dubbo_greeter import INTERFACE
from demo.processes import Processes, end_on_signals

HERE = Path(__file__).parent
CONFIG = HERE.parent / "conf" / "demo.yaml"
CALLS = 20
"""Calls of each protocol before the shares are shown."""
ROUND = 5.0
"""Seconds of calling on until it is told what came of it."""
PAUSE = 0.02
"""Between two calls of each, seconds: the live page has something to show, and the machine to do other things."""
PATIENCE = 30.0
"""Seconds that anything may take to start."""


def free_ports(names: list[str]) -> dict[str, str]:
    """A free loopback address for each name."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    addresses = {name: f"127.0.0.1:{one.getsockname()[1]}" for name, one in zip(names, sockets, strict=True)}
    for one in sockets:
        one.close()
    return addresses


def wait_for(address: str, processes: Processes) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        processes.check()
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on {address} after {PATIENCE:g} s")


def dubbo_caller(address: str) -> Callable[[], str]:
    host, _, port = address.rpartition(":")
    client = DubboClient(host, int(port))

    def call() -> str:
        answer = client.send_request_and_return_response(
            service_name=INTERFACE, service_version="1.0.0", method_name="sayHello", args=["Aeraki"]
        )
        if not answer.ok:
            raise SystemExit(f"dubbo: {answer.error}")
        return str(answer.data)

    return call


def thrift_caller(address: str) -> Callable[[], str]:
    host, _, port = address.rpartition(":")
    service = thriftpy2.load(str(HERE / "greeter.thrift"), module_name="greeter_thrift").Greeter
    client = make_client(service, host, int(port), trans_factory=TFramedTransportFactory(), timeout=10_000)
    return lambda: str(client.sayHello("Aeraki"))


def show(protocol: str, call: Callable[[], str], calls: int) -> None:
    """Makes the calls, prints each answer, and then the share that each version got."""
    answers: Counter[str] = Counter()
    for _ in range(calls):
        answer = call()
        print(f"  {protocol:6}  {answer}")
        answers[answer.rpartition(" ")[2]] += 1
    shares = ", ".join(f"{name} {100 * count / calls:.0f}%" for name, count in sorted(answers.items()))
    print(f"  {protocol:6}  -> {shares}   (the file says 80:20)\n")


def call_on(callers: dict[str, Callable[[], str]]) -> None:
    """Calls all of them for a while, and then prints the share that each version got."""
    answers: dict[str, Counter[str]] = {protocol: Counter() for protocol in callers}
    deadline = time.monotonic() + ROUND
    while time.monotonic() < deadline:
        for protocol, call in callers.items():
            answers[protocol][call().rpartition(" ")[2]] += 1
        time.sleep(PAUSE)
    for protocol, found in answers.items():
        whole = found.total()
        shares = ", ".join(f"{name} {100 * count / whole:.0f}%" for name, count in sorted(found.items()))
        print(f"  {protocol:6}  {whole} calls -> {shares}")


def counted(admin: str) -> list[str]:
    """What the proxy itself counted of it."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith("metaproxy_exchanges_total{") and not line.endswith(" 0.0")]


def run(once: bool) -> None:
    names = ["ADMIN", "DUBBO", "THRIFT", "DUBBO_V1", "DUBBO_V2", "THRIFT_V1", "THRIFT_V2"]
    at = free_ports(names)
    end_on_signals()
    processes = Processes()
    try:
        for protocol in ("dubbo", "thrift"):
            for version in ("v1", "v2"):
                port = at[f"{protocol}_{version}".upper()].rpartition(":")[2]
                processes.start("-m", f"demo.{protocol}_greeter", port, f"{protocol}-{version}")
        processes.start(
            "-m", "metaproxy", "--config", str(CONFIG), environ={f"DEMO_{name}": at[name] for name in names}
        )
        for name in names:
            wait_for(at[name], processes)
        print(f"\nmetaproxy runs {CONFIG.relative_to(HERE.parent)}; its live page: http://{at['ADMIN']}/\n")
        callers = {"dubbo": dubbo_caller(at["DUBBO"]), "thrift": thrift_caller(at["THRIFT"])}
        for protocol, call in callers.items():
            show(protocol, call, CALLS)
        print("What the proxy counted (GET /metrics):")
        print("\n".join(f"  {line}" for line in counted(at["ADMIN"])))
        while not once:
            print(f"\nCalling on. Live page: http://{at['ADMIN']}/   Ctrl-C ends.\n", flush=True)
            call_on(callers)
    except KeyboardInterrupt:
        print()
    finally:
        processes.stop()


def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # the Dubbo client library reports each event that it does not know
    parser = argparse.ArgumentParser(prog="make demo ARGS=...", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the calls are made")
    run(parser.parse_args().once)


if __name__ == "__main__":
    main()
