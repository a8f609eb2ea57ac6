"""
Users who call the Dubbo greeter: `python -m demo.dubbo_users ADDRESS [CALLS]`. Each call is another user's, named in
the attachment `user`; at the end it is told which version answered how many. Without CALLS it goes on until Ctrl-C.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter

from dubbo.client import DubboClient

from demo.dubbo_greeter import INTERFACE

PAUSE = 0.002
"""Seconds between two calls: some hundred a second."""


def main(address: str, calls: str = "") -> None:
    host, _, port = address.rpartition(":")
    client = DubboClient(host, int(port))
    answered: Counter[str] = Counter()
    try:
        for number in range(int(calls)) if calls else itertools.count():
            answer = client.send_request_and_return_response(
                service_name=INTERFACE, service_version="1.0.0", method_name="sayHello", args=["Aeraki"],
                attachment={"path": INTERFACE, "user": f"user-{number % 1000}", "remote.application": "shop"},
            )  # fmt: skip
            answered[str(answer.data).rpartition(" ")[2] if answer.ok else f"error: {answer.error}"] += 1
            time.sleep(PAUSE)
    except KeyboardInterrupt:
        print()
    for name, count in sorted(answered.items()):
        print(f"{name}: {count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
