"""
A Dubbo consumer by the library that is asked for: py_client.py dubbo-py | dubbo-ssl-python | python3-dubbo

Job: {port, calls: [{method, args, attachments, timeout (ms), oneway}]}. Only dubbo-py can call one-way, and
python3-dubbo sends no attachments. dubbo-py calls every string a `short` in the parameter types, so a Java provider
refuses its strings.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from jobs import Job, Result, one, serve

SERVICE, VERSION = "org.example.HelloService", "1.0.0"


class DubboPy:
    """dubbo-py: one connection, a thread that reads; answers come in the order of arrival, so calls go one by one."""

    def __init__(self, port: int, service: str) -> None:
        from dubbo.client import DubboClient

        self._client, self._service = DubboClient("127.0.0.1", port), service

    def call(self, method: str, args: list[Any], attachments: dict[str, str], timeout: float, oneway: bool) -> Any:
        request = {
            "service_name": self._service,
            "service_version": VERSION,
            "method_name": method,
            "args": args,
            "attachment": {"path": self._service, "version": VERSION, **attachments},
        }
        if oneway:
            return self._client.send_request_without_response(**request)
        self._client._timeout = timeout
        answer = self._client.send_request_and_return_response(**request)
        if not answer.ok:
            raise RuntimeError(f"status {answer.status}: {answer.error}")
        return answer.data


class DubboSsl:
    """dubbo-ssl-python: a pool, attachments."""

    def __init__(self, port: int, service: str) -> None:
        from dubbo_ssl.client import DubboClient

        self._client = DubboClient(
            interface=service, version=VERSION, group=None, dubbo_version="2.7.23", host=f"127.0.0.1:{port}"
        )

    def call(self, method: str, args: list[Any], attachments: dict[str, str], timeout: float, oneway: bool) -> Any:
        return self._client.call(method, args, context=attachments or None, timeout=timeout)


class Patient(dict[str, Any]):
    """The library's table of connections: its thread reads an empty one again and again, on a core of its own."""

    def values(self) -> Any:
        if not self:
            time.sleep(0.05)
        return super().values()


class Python3Dubbo:
    """python3-dubbo: as dubbo-ssl-python was once, with the import name of dubbo-py."""

    def __init__(self, port: int, service: str) -> None:
        from dubbo.client import DubboClient
        from dubbo.connection.connections import connection_pool

        if not isinstance(connection_pool._connection_pool, Patient):
            connection_pool._connection_pool = Patient(connection_pool._connection_pool)
        self._client = DubboClient(service, version=VERSION, host=f"127.0.0.1:{port}")

    def call(self, method: str, args: list[Any], attachments: dict[str, str], timeout: float, oneway: bool) -> Any:
        return self._client.call(method, args, timeout=timeout)


LIBRARY = {"dubbo-py": DubboPy, "dubbo-ssl-python": DubboSsl, "python3-dubbo": Python3Dubbo}[sys.argv[1]]


def run(job: Job) -> list[Result]:
    made: list[Any] = []

    def call(each: dict[str, Any]) -> Any:
        if not made:
            made.append(LIBRARY(job["port"], job.get("interface", SERVICE)))
        return made[0].call(
            each["method"],
            each.get("args", []),
            each.get("attachments", {}),
            each.get("timeout", 5000) / 1000,
            each.get("oneway", False),
        )

    return [one(lambda each=each: call(each)) for each in job["calls"]]


serve(run)
