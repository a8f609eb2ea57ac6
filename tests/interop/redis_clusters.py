"""
Several redis-servers that are one: a Redis Cluster, and a master with replicas that Sentinels watch.

Lives here: how they are started, changed and ended. Does not: clients, assertions.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from catalogue import redis_server
from running import Program, answers, eventually, free_port

HOST = "127.0.0.1"


def cli(port: int, *words: object, password: str = "", host: str = HOST) -> str:
    """What redis-cli gets from a server."""
    login = ["-a", password, "--no-auth-warning"] if password else []
    command = ["redis-cli", "-h", host, "-p", str(port), *login, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


class _Servers:
    def __init__(self, folder: Path, host: str = HOST) -> None:
        self.folder = folder
        self.host = host
        self.servers: dict[int, Program] = {}

    def start(self, port: int, *options: str) -> None:
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        always = ("--bind", self.host, "--repl-diskless-sync-delay", "0")
        argv = redis_server(port, folder, *always, *options).argv
        self.servers[port] = Program(argv, folder / "log", ready=lambda: answers(port, self.host))

    def cli(self, port: int, *words: object) -> str:
        """What redis-cli gets from one of them that has no password."""
        return cli(port, *words, host=self.host)

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()


class RedisCluster(_Servers):
    """
    Three masters with a third of the slots each, and a replica of each. ports: of the first ones; options: more of
    each.
    """

    def __init__(
        self,
        folder: Path,
        timeout: int = 1000,
        ports: Sequence[int] = (),
        host: str = HOST,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, host)
        self._timeout, self._options = timeout, options
        self._bus = {(ports[place] if place < len(ports) else free_port()): free_port() for place in range(6)}
        self.ports = list(self._bus)
        try:
            for port in self.ports:
                self.start_node(port)
            masters = " ".join(f"{host}:{port}" for port in self.ports)
            made = ["redis-cli", "--cluster", "create", *masters.split(), "--cluster-replicas", "1", "--cluster-yes"]
            subprocess.run(made, capture_output=True, timeout=60, check=True)
            assert eventually(self.whole, 30)
        except BaseException:
            self.stop()
            raise

    def start_node(self, port: int) -> None:
        cluster = (
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes.conf",
            "--cluster-port",
            str(self._bus[port]),
        )
        # A replica takes over however long ago it last heard of its master, which tests are done with soon.
        always = ("--cluster-replica-validity-factor", "0")
        self.start(port, *cluster, "--cluster-node-timeout", str(self._timeout), *always, *self._options)

    def whole(self) -> bool:
        """
        Whether all nodes that run know who has which slots, and each master has a replica that has all it has: before
        its first copy a replica is known to no server, and does not take over.
        """
        running = [port for port, server in self.servers.items() if server.running]
        return all(
            "cluster_state:ok" in self.cli(port, "cluster", "info")
            and self.cli(port, "cluster", "nodes").count("slave") == 3
            and "master_link_status:down" not in self.cli(port, "info", "replication")
            for port in running
        )

    def master_of(self, key: str) -> int:
        """The port of the node that has a key."""
        slot = int(self.cli(self._any(), "cluster", "keyslot", key))
        for line in self.cli(self._any(), "cluster", "nodes").splitlines():
            fields = line.split()
            ranges = [one.split("-") for one in fields[8:] if not one.startswith("[")]
            if "fail" not in fields[2].split(",") and any(int(one[0]) <= slot <= int(one[-1]) for one in ranges):
                return int(fields[1].partition("@")[0].rpartition(":")[2])
        return 0

    def _any(self) -> int:
        return next(port for port, server in self.servers.items() if server.running)

    def reshard(self, source: int, target: int, slots: int) -> None:
        """Moves slots with their keys while clients use them."""
        ids = [self.cli(port, "cluster", "myid").strip() for port in (source, target)]
        command = [
            "redis-cli", "--cluster", "reshard", f"{self.host}:{source}", "--cluster-from", ids[0],
            "--cluster-to", ids[1], "--cluster-slots", str(slots), "--cluster-yes",
        ]  # fmt: skip
        subprocess.run(command, capture_output=True, timeout=60, check=True)


class Watched(_Servers):
    """
    A master, two replicas, and three Sentinels that call them `mymaster`. password: of the servers; those of Sentinels
    have another one, or none.
    """

    def __init__(self, folder: Path, password: str = "", of_sentinels: str = "") -> None:
        super().__init__(folder)
        self._password, self._of_sentinels = password, of_sentinels
        self.ports = [free_port() for _ in range(3)]
        self.sentinels = [free_port() for _ in range(3)]
        try:
            login = ["--requirepass", password, "--masterauth", password] if password else []
            self.start(self.ports[0], *login)
            for port in self.ports[1:]:
                self.start(port, *login, "--replicaof", f"{HOST} {self.ports[0]}")
            for port in self.sentinels:
                self._watch(port)
            assert eventually(self._known, 40)
        except BaseException:
            self.stop()
            raise

    def _watch(self, port: int) -> None:
        (self.folder / str(port)).mkdir()
        file = self.folder / str(port) / "sentinel.conf"
        lines = [
            f"port {port}", f"bind {HOST}", f"sentinel monitor mymaster {HOST} {self.ports[0]} 2",
            "sentinel down-after-milliseconds mymaster 500", "sentinel failover-timeout mymaster 5000",
        ]  # fmt: skip
        if self._password:
            lines.append(f"sentinel auth-pass mymaster {self._password}")
        if self._of_sentinels:
            lines.append(f"requirepass {self._of_sentinels}")
        file.write_text("\n".join(lines) + "\n")
        argv: list[str | Path] = ["redis-server", file, "--sentinel"]
        self.servers[port] = Program(argv, self.folder / str(port) / "log", ready=lambda: answers(port))

    def _known(self) -> bool:
        """Whether each Sentinel knows both replicas and both of the others."""
        login = self._of_sentinels
        told = [cli(port, "sentinel", "master", "mymaster", password=login).split("\n") for port in self.sentinels]
        return all(
            words[words.index("num-slaves") + 1] == "2" and words[words.index("num-other-sentinels") + 1] == "2"
            for words in told
        )
