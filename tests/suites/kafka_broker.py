"""
Apache Kafka as aiokafka's suite wants it: one broker that decides for itself, with TLS, users and rules about them.

Lives here: `Broker`, its ports, users and certificates. Does not: what stands for its container in the suite
(`aiokafka_broker`).
"""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from authority import Authority, Issued
from catalogue import kafka_java
from running import Program, free_port

LOGINS, TLS = 10, 20
"""The port for clients that log in, and that for those that speak TLS, are so much after the one for all others."""
NODE = 1
USERS = ("admin", "test", "test2")
"""Whose passwords are their names. The first may do all."""
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class Broker:
    """
    One on 127.0.0.1 that serves when the constructor returns. Certificates are beside its folder: see `certificates`.
    """

    def __init__(self, port: int, folder: Path) -> None:
        file, store = folder / "properties", folder / "broker.pem"
        issued = _issue(certificates(folder.parent))
        store.write_bytes(issued.key.read_bytes() + issued.certificate.read_bytes())
        file.write_text("".join(f"{key}={value}\n" for key, value in _properties(port, folder, store).items()))
        id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]
        scram = [f"{mechanism}=[name={user},password={user}]" for mechanism in MECHANISMS[1:] for user in USERS]
        options = ("--standalone", "-t", id, "-c", str(file), *(word for one in scram for word in ("--add-scram", one)))
        run = kafka_java("kafka.tools.StorageTool", "format", *options)
        subprocess.run(run.argv, check=True, capture_output=True, timeout=60)
        program, log = kafka_java("kafka.Kafka", str(file), heap="-Xmx512m"), folder / "log"
        self._program = Program(
            program.argv, log, ready=lambda: "Kafka Server started" in log.read_text(errors="replace")
        )

    def stop(self) -> None:
        self._program.kill()


def certificates(folder: Path) -> Path:
    """Where, in a folder, ca.crt, client.crt and client.key are, as the suite has them, and server.pem with its key."""
    return folder / "certificates"


def _issue(folder: Path) -> Issued:
    """Makes the certificates; the server's."""
    folder.mkdir()
    authority = Authority(folder)
    client = authority.issue("client")
    for made, name in ((authority.ca, "ca.crt"), (client.certificate, "client.crt"), (client.key, "client.key")):
        made.rename(folder / name)
    return authority.issue("localhost", "localhost", "127.0.0.1", file="server")


def _properties(port: int, folder: Path, store: Path) -> dict[str, object]:
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    users = " ".join(f'user_{user}="{user}"' for user in USERS)
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    places = f"PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{port + LOGINS},SSL://127.0.0.1:{port + TLS}"
    controller = free_port()
    once = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return {
        "process.roles": "broker,controller", "node.id": NODE,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "listeners": f"{places},CONTROLLER://127.0.0.1:{controller}", "advertised.listeners": places,
        "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map":
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL",
        "ssl.keystore.type": "PEM", "ssl.keystore.location": store,
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{plain} {users};",
        "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": scram,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true", "super.users": f"User:{USERS[0]};User:ANONYMOUS",
        "log.dirs": folder / "data", "num.partitions": 2, "auto.create.topics.enable": "true",
        "transaction.state.log.min.isr": 1, "share.coordinator.state.topic.min.isr": 1,
        **{f"{topic}.replication.factor": 1 for topic in once}, **{f"{topic}.num.partitions": 4 for topic in once},
    }  # fmt: skip
