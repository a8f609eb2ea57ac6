"""
Apache Kafka for tests: three brokers in KRaft mode.

Lives here: their configuration, starting, killing and ending them; clients under way (`Run`). Does not: what clients
there are (catalogue.py).
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from authority import Authority
from catalogue import kafka_client, kafka_java
from running import Program, answers, eventually, free_port

LISTENERS = ("PLAINTEXT", "HIDDEN", "SASL_PLAINTEXT", "SASL_SSL")
"""
Those for clients, each named as its protocol is. HIDDEN is one without a login whose brokers give addresses that do not
exist: who reaches them twice, has them from elsewhere.
"""
USERS = {"app": "pencil", "admin": "rubber"}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required "
_BEARER = (
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
    'unsecuredLoginStringClaim_sub="broker";'
)
"""Tokens without a signature will do."""
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


DONE = {
    "produced": 300, "consumed": 300, "members": 2, "next_generation": True, "committed": 10, "offset": 5,
    "denied": "TOPIC_AUTHORIZATION_FAILED", "brokers": 3,
}  # fmt: skip
"""What comes of a client's program where it may do all but create what begins with `denied-`."""


def done(client: str) -> dict[str, Any]:
    """The same of this one: kafkajs has two of the five compressions."""
    return {**DONE, **({"produced": 120, "consumed": 120} if client == "kafkajs" else {})}


class Run:
    """
    A client's program under way: see catalogue.kafka_client. They spend their time on waiting for each other, so those
    of a module begin at once.
    """

    def __init__(self, client: str, **about: object) -> None:
        command = kafka_client(client, **about)
        self._process = subprocess.Popen(
            [*map(str, command.argv)],
            env={**os.environ, **command.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def said(self) -> tuple[int, str, str]:
        """Its status, what it printed, and its errors, once it has ended."""
        out, errors = self._process.communicate(timeout=120)
        return self._process.returncode, out, errors

    def result(self) -> dict[str, Any]:
        status, out, errors = self.said()
        assert status == 0, errors[-3000:]
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def ports_in_a_row(count: int) -> int:
    """The first of so many free ports."""
    while True:
        first = free_port()
        if not any(answers(first + more) for more in range(1, count)):
            return first


class Brokers:
    """
    Brokers 1, 2, 3, or only the first `count`, each a controller too. ports: of a listener, one a broker; ca: of their
    certificate.
    """

    def __init__(self, folder: Path, authority: Authority, heap: int = 192, count: int = 3) -> None:
        self.folder = folder
        numbers = range(1, count + 1)
        self.ports = {name: [free_port() for _ in numbers] for name in (*LISTENERS, "CONTROLLER")}
        self.programs: list[Program] = []
        self._heap = f"-Xmx{heap}m"
        self.ca = authority.ca
        issued = authority.issue("broker", "localhost", "127.0.0.1")
        store = folder / "broker.pem"
        store.write_bytes(issued.key.read_bytes() + issued.certificate.read_bytes())
        id = base64.urlsafe_b64encode(b"k" + uuid.uuid4().bytes[1:]).decode()[:22]  # never with - in front
        formatted = [self._format(number, id, store) for number in numbers]
        for each in formatted:
            output, _ = each.communicate(timeout=120)
            assert each.returncode == 0, output
        try:
            self.programs = [self._started(number) for number in numbers]
            self._await(self.programs)
        except BaseException:
            self.stop()
            raise

    def bootstrap(self, name: str = "PLAINTEXT") -> str:
        """The addresses of a listener, as clients take them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports[name])

    def kill(self, number: int) -> None:
        """Ends a broker as a crash would."""
        self.programs[number - 1].kill()

    def start_again(self, number: int) -> None:
        """Starts a broker on what it had kept, and waits for it."""
        program = self._started(number)
        self.programs[number - 1] = program
        self._await([program])

    def stop(self) -> None:
        for each in self.programs:  # side by side: one that ends in order wants a controller, which may be gone
            each.kill()

    def _properties(self, number: int, store: Path) -> str:
        def places(names: Sequence[str], host: str = "127.0.0.1") -> str:
            return ",".join(f"{name}://{host}:{self.ports[name][number - 1]}" for name in names)

        voters = ",".join(f"{one}@127.0.0.1:{port}" for one, port in enumerate(self.ports["CONTROLLER"], 1))
        public = [name for name in LISTENERS if name != "HIDDEN"]
        copies, least = len(self.ports["CONTROLLER"]), min(2, len(self.ports["CONTROLLER"]))
        users = " ".join(f'user_{user}="{password}"' for user, password in USERS.items())
        values: dict[str, object] = {
            "process.roles": "broker,controller", "node.id": number, "controller.quorum.voters": voters,
            "broker.rack": f"rack-{number}",
            "listeners": places((*LISTENERS, "CONTROLLER")),
            "advertised.listeners": f"{places(public)},HIDDEN://broker-{number}.invalid:9092",
            "listener.security.protocol.map":
                "PLAINTEXT:PLAINTEXT,HIDDEN:PLAINTEXT,CONTROLLER:PLAINTEXT,"
                "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
            "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": ",".join((*MECHANISMS, "OAUTHBEARER")),
            "ssl.keystore.type": "PEM", "ssl.keystore.location": store,
            "log.dirs": self.folder / f"data-{number}",
            "num.partitions": 3, "default.replication.factor": copies, "min.insync.replicas": least,
            "num.network.threads": 2, "num.io.threads": 2, "background.threads": 2,
            "group.initial.rebalance.delay.ms": 0, "log.cleaner.enable": "false",
            "group.consumer.min.heartbeat.interval.ms": 300, "group.consumer.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 3000, "broker.heartbeat.interval.ms": 500,
            "socket.request.max.bytes": 120 << 20, "fetch.max.bytes": (1 << 31) - 1, "message.max.bytes": 100 << 20,
        }  # fmt: skip
        internal = {"offsets.topic": "", "transaction.state.log": "min.isr", "share.coordinator.state.topic": "min.isr"}
        for topic, key in internal.items():
            values |= {f"{topic}.num.partitions": 3, f"{topic}.replication.factor": copies}
            values |= {f"{topic}.{key}": least} if key else {}
        for name in ("sasl_plaintext", "sasl_ssl"):
            logins = {"PLAIN": f"{_PLAIN}{users};", "OAUTHBEARER": _BEARER, **dict.fromkeys(MECHANISMS[1:], _SCRAM)}
            for mechanism, login in logins.items():
                values[f"listener.name.{name}.{mechanism.lower()}.sasl.jaas.config"] = login
        return "".join(f"{key}={value}\n" for key, value in values.items())

    def _format(self, number: int, id: str, store: Path) -> subprocess.Popen[str]:
        file = self.folder / f"{number}.properties"
        file.write_text(self._properties(number, store))
        users = [
            f"{mechanism}=[name={user},password={password}]"
            for mechanism in MECHANISMS[1:]
            for user, password in USERS.items()
        ]
        scram = [word for one in users for word in ("--add-scram", one)]
        command = kafka_java("kafka.tools.StorageTool", "format", "-t", id, "-c", str(file), *scram)
        return subprocess.Popen(command.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def _started(self, number: int) -> Program:
        run = kafka_java("kafka.Kafka", str(self.folder / f"{number}.properties"), heap=self._heap)
        log = self.folder / f"{number}.log"
        log.unlink(missing_ok=True)
        return Program(run.argv, log, ready=lambda: True)

    def _await(self, programs: Sequence[Program]) -> None:
        for each in programs:
            eventually(partial(_settled, each), 120, 0.1)
            assert each.running and _settled(each), each.text()[-3000:]


def _settled(broker: Program) -> bool:
    """Whether it serves, or has ended."""
    return "Kafka Server started" in broker.text() or not broker.running
