"""
The drivers' suites: how each is run on a server of its own, and where its results are.

Left out are what needs more servers than that, modules or TLS certificates, and what takes its time. Lives here:
`Suite` and `SUITES`. Does not: servers (`servers`), the proxy, comparing (`run`).
"""

from __future__ import annotations

import json
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servers import PASSWORD, USER

from catalogue import kafka_java  # isort: skip  # of tests/interop, which servers.py makes importable
from kafka_broker import LOGINS, TLS  # isort: skip

Results = dict[str, str]


@dataclass(frozen=True)
class Suite:
    """
    server: of `SERVERS`. command: what runs it, given its folder and where reports go. results: of the reports, test ->
    passed, failed or skipped. environment: given the port. prepare: writes what it reads, given its folder and the
    port. more_servers: ports of servers that it uses beside the one under test, always directly.
    """

    server: str
    command: Callable[[Path, Path], list[str]]
    results: Callable[[Path], Results]
    environment: Callable[[int], Mapping[str, str]] = lambda port: {}
    prepare: Callable[[Path, int], None] = lambda folder, port: None
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


def _pytest(folder: Path, reports: Path, *arguments: str) -> list[str]:
    own = folder / ".venv" / "bin" / "python"
    shared = ("-q", "-o", f"cache_dir={reports}/cache", "--timeout=60", f"--junitxml={reports}/report.xml")
    return [str(own if own.exists() else sys.executable), "-m", "pytest", *shared, *arguments]


def _redis_py(folder: Path, reports: Path) -> list[str]:
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
    return _redis_tests(folder, reports, left_out, *(f"--ignore=tests/{each}" for each in ignored), "tests")


def _redis_tests(folder: Path, reports: Path, marked: str, *arguments: str) -> list[str]:
    return _pytest(folder, reports, "-p", "untraced", "-m", marked, *arguments)


def _redis_environment(*options: str) -> Mapping[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parent), "PYTEST_ADDOPTS": " ".join(options)}


def _redis_py_cluster(folder: Path, reports: Path) -> list[str]:
    """Those that ask servers: the others have mocks in their place, or several nodes."""
    classes = ("ClusterRedisCommands", "ClusterPipeline", "ClusterPubSub", "ClusterTransaction")
    chosen = f"({' or '.join(classes)}) and not Mocks"
    return _redis_tests(folder, reports, "not ssl", "-k", chosen, *_CLUSTER_TESTS)


def _redis_py_nodes(folder: Path, reports: Path) -> list[str]:
    return _redis_tests(folder, reports, "not ssl", *_CLUSTER_TESTS)


_CLUSTER_TESTS = [
    f"tests/{place}test_cluster{kind}.py" for place in ("", "test_asyncio/") for kind in ("", "_transaction")
]


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


def _psycopg(folder: Path, reports: Path) -> list[str]:
    left_out = "not slow and not timing and not subprocess and not gevent and not dns"
    ignored = ("crdb", "test_typing.py", "test_module.py", "test_dns.py", "test_dns_srv.py", "test_windows.py")
    return _pytest(folder, reports, "-m", left_out, *(f"--ignore=tests/{each}" for each in ignored), "tests")


def _asyncpg(folder: Path, reports: Path) -> list[str]:
    ignored = ("test__sourcecode.py", "test__environment.py", "test_subinterpreters.py")
    return _pytest(folder, reports, "--import-mode=importlib", *(f"--ignore=tests/{each}" for each in ignored), "tests")


def _pymysql(folder: Path, reports: Path) -> list[str]:
    return _pytest(folder, reports, "pymysql/tests")


def _pymysql_accounts(folder: Path, port: int) -> None:
    account = {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD}
    more = {"use_unicode": True, "local_infile": True}
    databases = [{**account, "database": "test1", **more}, {**account, "database": "test2"}]
    (folder / "pymysql" / "tests" / "databases.json").write_text(json.dumps(databases))


def _pymongo(folder: Path, reports: Path) -> list[str]:
    names = (
        "bulk", "change_stream", "client_bulk_write", "client_context", "collation", "collection",
        "collection_management", "command_monitoring", "comment", "create_entities", "crud_unified", "crud_v1",
        "cursor", "custom_types", "database", "grid_file", "gridfs", "gridfs_bucket", "gridfs_spec",
        "index_management", "json_util_integration", "logger", "monitoring", "operations", "raw_bson", "read_concern",
        "read_write_concern_spec", "retryable_reads_unified", "retryable_writes_unified", "run_command", "session",
        "sessions_unified", "threads", "transactions", "transactions_unified", "versioned_api_integration",
    )  # fmt: skip
    return _pytest(folder, reports, "-o", "addopts=", *(f"test/test_{each}.py" for each in names))


def _pika(folder: Path, reports: Path) -> list[str]:
    return _pytest(folder, reports, "tests/acceptance")


def _aiokafka(folder: Path, reports: Path) -> list[str]:
    image = "--docker-image=running:2.13_4.4.0"  # it runs none, and knows the version by it
    return _pytest(folder, reports, "-p", "aiokafka_broker", image, "-k", "not gssapi", "--timeout=120", "tests")


def _aiokafka_environment(port: int) -> Mapping[str, str]:
    return {
        "AIOKAFKA_PORTS": f"{port} {port + LOGINS} {port + TLS}",
        "AIOKAFKA_TOOLS": shlex.join(map(str, kafka_java("").argv[:-1])),
        "PYTHONPATH": str(Path(__file__).parent),
    }


def _rabbitmq_java(folder: Path, reports: Path) -> list[str]:
    """`rabbitmqctl` is what the broker's start leaves there; the tests call it with `-n NODE`."""
    jars = [*folder.glob("junit-platform-console-standalone-*.jar"), (folder / "classpath").read_text().strip()]
    path = ":".join(map(str, (folder / "target/test-classes", folder / "target/classes", *jars)))
    return [
        "java", "-Xmx512m", f"-Drabbitmqctl.bin={reports}/rabbitmqctl", "-Dtest-broker.A.nodename=any", "-cp", path,
        "org.junit.platform.console.ConsoleLauncher", "execute", "--disable-banner", "--details=summary",
        f"--reports-dir={reports}", "--select-package=com.rabbitmq.client.test.functional", "--include-classname=.*",
        "--exclude-engine=junit-platform-suite",
    ]  # fmt: skip


SUITES: dict[str, Suite] = {
    "redis-py": Suite("redis", _redis_py, junit, lambda port: _redis_environment()),
    "redis-py-cluster": Suite(
        "redis-cluster",
        _redis_py_cluster,
        junit,
        lambda port: _redis_environment(f"--redis-url=redis://127.0.0.1:{port}/0", "--redis-cluster-nodes=1"),
    ),
    "redis-py-nodes": Suite(
        "redis-nodes",
        _redis_py_nodes,
        junit,
        lambda port: _redis_environment(f"--redis-url=redis://127.0.0.1:{port}/0"),
    ),
    "ioredis": Suite("redis", _ioredis, junit, lambda port: {"TS_NODE_TRANSPILE_ONLY": "true", "NODE_ENV": "test"}),
    "go-redis": Suite(
        "redis",
        _go_redis,
        _go_results,
        lambda port: {"RE_CLUSTER": "true", "REDIS_VERSION": "7.0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"},
    ),
    "psycopg": Suite(
        "postgres",
        _psycopg,
        junit,
        lambda port: {
            "PSYCOPG_TEST_DSN": f"host=127.0.0.1 port={port} user={USER} password={PASSWORD} dbname=postgres"
        },
    ),
    "asyncpg": Suite(
        "postgres",
        _asyncpg,
        junit,
        lambda port: {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": USER,
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": "postgres",
        },
    ),
    "pymysql": Suite("mariadb", _pymysql, junit, prepare=_pymysql_accounts),
    "pymongo": Suite(
        "mongod",
        _pymongo,
        junit,
        lambda port: {"DB_IP": "127.0.0.1", "DB_PORT": str(port), "DB_USER": USER, "DB_PASSWORD": PASSWORD},
    ),
    "aiokafka": Suite("kafka", _aiokafka, junit, _aiokafka_environment),
    "pika": Suite("rabbitmq", _pika, junit),
    "rabbitmq-java": Suite("rabbitmq", _rabbitmq_java, junit),
}
