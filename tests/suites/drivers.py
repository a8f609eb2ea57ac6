"""
The drivers' suites: how each is run on a standalone server, and where its results are.

Left out are what needs a cluster, sentinels, modules or TLS certificates. Lives here: `Suite` and `SUITES`. Does not:
servers, the proxy, comparing (`run`).
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Results = dict[str, str]


@dataclass(frozen=True)
class Suite:
    """
    command: what runs it, given its folder and where reports go. results: of the reports, test -> passed, failed or
    skipped. more_servers: ports of servers that it uses beside the one under test, always directly.
    """

    command: Callable[[Path, Path], list[str]]
    results: Callable[[Path], Results]
    environment: Mapping[str, str] = field(default_factory=dict)
    more_servers: tuple[int, ...] = ()


def junit(reports: Path) -> Results:
    """What JUnit files tell. A test that is there twice has failed if one of them has."""
    found: Results = {}
    for file in sorted(reports.glob("*.xml")):
        for case in ElementTree.parse(file).iter("testcase"):
            name = f"{case.get('classname', '')}: {case.get('name', '')}"
            children = {child.tag for child in case}
            outcome = "failed" if children & {"failure", "error"} else "skipped" if "skipped" in children else "passed"
            if found.get(name) != "failed":
                found[name] = outcome
    return found


def _go_results(reports: Path) -> Results:
    """Of the Ginkgo specs from its JUnit file, of plain tests from `go test -json`."""
    found = junit(reports)
    words = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    for line in (reports / "output").read_text(errors="replace").splitlines():
        if line.startswith("{") and (event := json.loads(line)).get("Test") and event["Action"] in words:
            found[event["Test"]] = words[event["Action"]]
    found.pop("TestGinkgoSuite", None)
    return found


def _redis_py(folder: Path, reports: Path) -> list[str]:
    own = folder / ".venv" / "bin" / "python"
    left_out = (
        "not onlycluster and not redismod and not ssl and not replica and not cp_integration and not experimental"
    )
    ignored = (
        "test_cluster.py", "test_cluster_transaction.py", "test_sentinel.py", "test_sentinel_managed_connection.py",
        "test_multidb", "maint_notifications", "test_scenario", "test_ssl.py", "test_asyncio/test_cluster.py",
        "test_asyncio/test_cluster_transaction.py", "test_asyncio/test_sentinel.py", "test_asyncio/test_multidb",
        "test_asyncio/test_sentinel_managed_connection.py", "test_asyncio/test_ssl.py",
        "test_asyncio/test_maint_notifications", "test_json.py", "test_search.py", "test_bloom.py",
        "test_timeseries.py", "test_asyncio/test_json.py", "test_asyncio/test_search.py",
        "test_asyncio/test_bloom.py", "test_asyncio/test_timeseries.py",
    )  # fmt: skip
    return [
        str(own if own.exists() else sys.executable), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=60",
        "-m", left_out, f"--junitxml={reports}/report.xml", *(f"--ignore=tests/{each}" for each in ignored), "tests",
    ]  # fmt: skip


def _ioredis(folder: Path, reports: Path) -> list[str]:
    return [
        str(folder / "node_modules/.bin/mocha"), "--no-experimental-strip-types", "--exit", "--reporter", "xunit",
        "--reporter-option", f"output={reports}/report.xml", "test/helpers/*.ts", "test/functional/*.ts",
        "test/functional/commands/*.ts",
    ]  # fmt: skip


def _go_redis(folder: Path, reports: Path) -> list[str]:
    left_out = "Cluster|Sentinel|Ring|TLS|[Uu]niversal|Command Tips|JSON|Search|Probabilistic|RedisTimeseries|Vector"
    return [
        "go", "test", "-json", "-count=1", "-timeout=20m", "-skip=Example|Benchmark|Fuzz|TLS|Cluster|Sentinel|Ring",
        ".", f"-ginkgo.junit-report={reports}/report.xml", f"-ginkgo.skip={left_out}", "-ginkgo.seed=1",
    ]  # fmt: skip


SUITES: dict[str, Suite] = {
    "redis-py": Suite(_redis_py, junit),
    "ioredis": Suite(_ioredis, junit, {"TS_NODE_TRANSPILE_ONLY": "true", "NODE_ENV": "test"}),
    "go-redis": Suite(
        _go_redis,
        _go_results,
        {"RE_CLUSTER": "true", "REDIS_VERSION": "7.0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"},
    ),
}
