"""
The registries: how each is run, and how a server is registered there.

Lives here: ZooKeeper, etcd, Nacos, Eureka, and a stand-in for Consul (peers/consul/agent.py: Consul itself is not to be
had), all with the same few methods; servers that answer with their name, and load that counts what fails. Does not:
what a test expects of them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from catalogue import Command, Start, python_command
from kazoo.client import KazooClient
from running import PEERS, Program, answers, eventually, free_port

_JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx192m"]
_OPENED = ["--add-opens", "java.base/java.lang=ALL-UNNAMED", "--add-opens", "java.base/java.util=ALL-UNNAMED"]


def ask(method: str, url: str, body: object = None, **headers: str) -> tuple[int, str]:
    """Status and text of an answer; 0 for none. body: bytes, or what is sent as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    given = {"content-type": "application/json", "accept": "application/json", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, given, method=method), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Registry:
    """A registry with one service, `demo`. options: of the discovery, besides its target."""

    name = ""
    target = "demo"
    options: Mapping[str, object] = {}

    def __init__(self, start: Start, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        self._start = start
        self.program: Program
        self.run()

    def run(self) -> None:
        """Starts it, again after it was killed: with the data that it keeps."""
        self.program = self._start(self.command(), self.ready)

    def kill(self) -> None:
        self.program.kill()

    def close(self) -> None:
        """Ends what belongs to the registry in this process."""

    def discovery(self) -> dict[str, object]:
        return {self.name: self.target, "server": self.url, **self.options}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Command:
        raise NotImplementedError

    def ready(self) -> bool:
        return answers(self.port)

    def add(self, port: int) -> None:
        raise NotImplementedError

    def remove(self, port: int) -> None:
        raise NotImplementedError


class ZooKeeper(Registry):
    name = "zookeeper"
    target = "/demo"

    def __init__(self, start: Start, directory: Path) -> None:
        super().__init__(start, directory)
        self.client = KazooClient(f"127.0.0.1:{self.port}", connection_retry={"max_tries": -1, "max_delay": 0.5})
        self.client.start()

    def command(self) -> Command:
        lines = ["tickTime=500", f"dataDir={self.directory}", f"clientPort={self.port}"]
        lines += ["clientPortAddress=127.0.0.1", "admin.enableServer=false"]
        file = self.directory / "zoo.cfg"
        file.write_text("\n".join(lines))
        path = "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar"
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return Command([*_JAVA, "-cp", path, f"-Dzookeeper.log.dir={self.directory}", main, str(file)])

    def discovery(self) -> dict[str, object]:
        return {"zookeeper": self.target, "servers": [f"127.0.0.1:{self.port}"]}

    def add(self, port: int) -> None:
        self.client.retry(self.client.create, f"{self.target}/127.0.0.1:{port}", ephemeral=True, makepath=True)

    def remove(self, port: int) -> None:
        self.client.retry(self.client.delete, f"{self.target}/127.0.0.1:{port}")

    def close(self) -> None:
        self.client.stop()
        self.client.close()


class Etcd(Registry):
    name = "etcd"
    target = "/services/demo/"

    def command(self) -> Command:
        peers = f"http://127.0.0.1:{free_port()}"
        options = {
            "data-dir": str(self.directory / "etcd"), "listen-client-urls": self.url, "advertise-client-urls": self.url,
            "listen-peer-urls": peers, "initial-advertise-peer-urls": peers, "initial-cluster": f"default={peers}",
            "log-level": "warn",
        }  # fmt: skip
        return Command(["etcd", *(word for name, value in options.items() for word in (f"--{name}", value))])

    def ready(self) -> bool:
        return '"true"' in ask("GET", f"{self.url}/health")[1]

    def call(self, path: str, **asked: object) -> dict[str, Any]:
        status, text = ask("POST", f"{self.url}/v3/{path}", asked)
        assert status == 200, text
        found: dict[str, Any] = json.loads(text)
        return found

    def key(self, port: int) -> str:
        return b64encode(f"{self.target}{port}".encode()).decode()

    def add(self, port: int, **more: object) -> None:
        self.call("kv/put", key=self.key(port), value=b64encode(f"127.0.0.1:{port}".encode()).decode(), **more)

    def remove(self, port: int) -> None:
        self.call("kv/deleterange", key=self.key(port))


class Consul(Registry):
    name = "consul"

    def command(self) -> Command:
        return python_command("consul/agent.py", "main", str(self.port))

    def add(self, port: int) -> None:
        service = {"ID": f"demo-{port}", "Name": "demo", "Address": "127.0.0.1", "Port": port, "Tags": ["v2"]}
        eventually(lambda: ask("PUT", f"{self.url}/v1/agent/service/register", service)[0] == 200)

    def remove(self, port: int) -> None:
        ask("PUT", f"{self.url}/v1/agent/service/deregister/demo-{port}")


class Beating(Registry):
    """A registry whose servers register with each heartbeat, as it keeps them in memory."""

    options: Mapping[str, object] = {"refresh": "300ms", "settle": "10s"}

    def __init__(self, start: Start, directory: Path) -> None:
        super().__init__(start, directory)
        self._ports: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def _beat(self) -> None:
        while not self._over.wait(0.5):
            for port in list(self._ports):
                self.beat(port)

    def beat(self, port: int) -> None:
        raise NotImplementedError

    def add(self, port: int) -> None:
        self._ports.add(port)
        self.beat(port)

    def remove(self, port: int) -> None:
        self._ports.discard(port)
        self.deregister(port)

    def deregister(self, port: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._over.set()
        self._thread.join()


class Nacos(Beating):
    name = "nacos"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/nacos"

    def command(self) -> Command:
        (self.directory / "conf").mkdir(exist_ok=True)
        properties = {
            "nacos.standalone": "true", "nacos.home": self.directory, "user.home": self.directory,
            "nacos.server.ip": "127.0.0.1", "server.address": "127.0.0.1", "server.port": self.port,
            "server.servlet.context-path": "/nacos",
        }  # fmt: skip
        options = [f"-D{name}={value}" for name, value in properties.items()]
        path = f"{PEERS}/java-nacos/lib/*"
        return Command([*_JAVA, *_OPENED, *options, "-cp", path, "com.alibaba.nacos.naming.NamingApp"])

    def ready(self) -> bool:
        return ask("GET", f"{self.url}/v1/ns/instance/list?serviceName=x")[0] in (200, 404)

    def _service(self, port: int) -> str:
        return urlencode({"serviceName": "demo", "ip": "127.0.0.1", "port": port})

    def beat(self, port: int) -> None:
        ask("POST", f"{self.url}/v1/ns/instance?{self._service(port)}")

    def deregister(self, port: int) -> None:
        ask("DELETE", f"{self.url}/v1/ns/instance?{self._service(port)}")


class Eureka(Beating):
    name = "eureka"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/eureka"

    def command(self) -> Command:
        properties = {
            "server.port": self.port, "server.address": "127.0.0.1", "spring.application.name": "eureka",
            "eureka.client.register-with-eureka": "false", "eureka.client.fetch-registry": "false",
            "eureka.server.enable-self-preservation": "false",
            "eureka.server.response-cache-update-interval-ms": 200,
            "eureka.server.eviction-interval-timer-in-ms": 500,
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in properties.items()]
        path = f"{PEERS}/java-eureka/classes:{PEERS}/java-eureka/lib/*"
        return Command([*_JAVA, "-cp", path, "org.example.eureka.EurekaServer", *options])

    def ready(self) -> bool:
        return ask("GET", f"{self.url}/apps")[0] == 200

    def beat(self, port: int) -> None:
        if ask("PUT", f"{self.url}/apps/DEMO/i{port}")[0] != 404:
            return
        instance = {
            "instanceId": f"i{port}", "hostName": "127.0.0.1", "app": "DEMO", "ipAddr": "127.0.0.1",
            "vipAddress": "demo", "status": "UP", "port": {"$": port, "@enabled": "true"},
            "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
            "leaseInfo": {"durationInSecs": 5, "renewalIntervalInSecs": 1}, "metadata": {"version": "v1"},
        }  # fmt: skip
        ask("POST", f"{self.url}/apps/DEMO", {"instance": instance})

    def deregister(self, port: int) -> None:
        ask("DELETE", f"{self.url}/apps/DEMO/i{port}")


REGISTRIES: dict[str, Callable[[Start, Path], Registry]] = {
    one.name: one for one in (ZooKeeper, Etcd, Consul, Nacos, Eureka)
}


# -- servers and load


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.connection.getsockname()[1]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def origins(number: int) -> Iterator[list[int]]:
    """Ports of HTTP servers that answer with their port."""
    servers = []
    for _ in range(number):
        server = ThreadingHTTPServer(("127.0.0.1", free_port()), _Answers)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


class Load:
    """Clients that ask a port all the time. counted: answers by their text; what failed begins with `failed`."""

    def __init__(self, port: int, clients: int = 3) -> None:
        self.counted: Counter[str] = Counter()
        self._port = port
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._over.wait(0.005):
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode()
                text = text if answer.status == 200 else f"failed {answer.status} {text[:100]}"
            except (OSError, http.client.HTTPException) as error:
                text = f"failed {error!r}"
                connection.close()
            with self._lock:
                self.counted[text] += 1

    def more(self, number: int = 100) -> Counter[str]:
        """Waits until so many more are answered. What these were."""
        with self._lock:
            before = self.counted.copy()
        assert eventually(lambda: self.counted.total() >= before.total() + number, 20)
        with self._lock:
            return self.counted - before

    def stop(self) -> list[str]:
        """What failed."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return [text for text in self.counted if text.startswith("failed")]
