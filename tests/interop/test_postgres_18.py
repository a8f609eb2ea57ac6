"""
What PostgreSQL 18 and its libpq say besides statements, message by message, with metaproxy between them.

Lives here: the protocol's version and its keys, GSSAPI, TLS that begins at once towards the server, notices,
parameters, streams of replication. Does not: statements (test_postgres.py), TLS towards clients (test_postgres_tls.py).
"""

from __future__ import annotations

import select
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from authority import Authority
from postgres_peers import BIN_18, PYTHON, PostgreSQL
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("postgres", "postgres-python", "postgres-18")
sys.path.append(str(PYTHON))
WAYS = ("passing", "pooled", "session")
REALM = b"EXAMPLE.ORG"
ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


class Mesh(NamedTuple):
    """
    ports: where logins pass, and where connections are lent for a transaction, or for a stay; of the first two also
    with TLS to the server that begins at once.
    """

    server: PostgreSQL
    ports: dict[str, int]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    issued = authority.issue("localhost", "localhost", "127.0.0.1")
    server = PostgreSQL(free_port(), bin=BIN_18, start=False)
    for source, name in ((issued.certificate, "server.crt"), (issued.key, "server.key")):
        server.add(Path(source), name)
    options = ("ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key", "wal_level=logical")
    server.options = tuple(part for option in options for part in ("-c", option))
    server.start()
    users = {"name": "postgres", "users": {"app": "secret"}}
    logs_in = {"credentials": {"user": "app", "password": "secret"}}
    lends, stays = (
        {**logs_in, "connections": {"mode": mode, "per_endpoint": 3}} for mode in ("transaction", "session")
    )
    at_once = {"tls": {"ca": str(authority.ca), "server_name": "localhost"}}
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        "passing": ("postgres", {}),
        "pooled": (users, lends),
        "session": (users, stays),
        "passing, TLS": ("postgres", at_once),
        "pooled, TLS": (users, {**lends, **at_once}),
    }
    ports = {name: free_port() for name in found}
    other = Authority(tmp_path_factory.mktemp("others")).issue("localhost", "localhost")
    tls = {"certificate": str(other.certificate), "key": str(other.key), "start": "protocol", "optional": True}
    config = {
        "listeners": [listener(name, ports[name], found[name][0], [{"cluster": name}], tls=tls) for name in found],
        "clusters": [cluster(name, server.port, **options) for name, (_, options) in found.items()],
    }
    shared_proxy(config)
    yield Mesh(server, ports)
    server.stop()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connect(mesh: Mesh, way: str, **options: Any) -> Any:
    import psycopg

    base: dict[str, Any] = {"user": "app", "password": "secret", "dbname": "postgres", "sslmode": "disable"}
    return psycopg.connect(host="127.0.0.1", port=mesh.ports[way], autocommit=True, **{**base, **options})


class Said(NamedTuple):
    """A message that libpq saw. sender: F is the client, B the server."""

    sender: str
    size: int
    name: str
    rest: str


def log_in(mesh: Mesh, way: str, log: Path, **options: str) -> tuple[Any, list[Said]]:
    """A connection of libpq, whether or not it succeeds, and what both sides said until then."""
    from psycopg import pq

    place = f"host=127.0.0.1 port={mesh.ports[way]} user=app password=secret dbname=postgres sslmode=disable"
    c = pq.PGconn.connect_start(" ".join([place, *(f"{name}={value}" for name, value in options.items())]).encode())
    with log.open("w") as file:
        c.trace(file.fileno())
        c.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        while (state := c.connect_poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            reads = state == pq.PollingStatus.READING
            select.select([c.socket] * reads, [c.socket] * (not reads), [], 5)
        c.untrace()
    lines = [line.split("\t", 3) for line in log.read_text().splitlines()]
    return c, [Said(line[0], int(line[1]), line[2], line[3].strip() if line[3:] else "") for line in lines]


# -- before the login


def test_version_3_2_is_agreed_on_with_a_long_key_by_which_the_server_is_reached(
    mesh: Mesh, way: str, tmp_path: Path
) -> None:
    import psycopg

    raw, said = log_in(mesh, way, tmp_path / "log", max_protocol_version="latest")
    assert raw.full_protocol_version == 30002
    assert [message.size for message in said if message.name == "BackendKeyData"] == [4 + 4 + 32]
    raw.finish()
    with connect(mesh, way, max_protocol_version="latest") as c:
        late = threading.Timer(0.3, c.cancel_safe)
        late.start()
        begun = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            c.execute("select pg_sleep(20)")
        assert time.monotonic() - begun < 10
        late.join()
        assert c.execute("select 1").fetchone() == (1,)


def test_older_clients_have_version_3_0_and_its_key(mesh: Mesh, tmp_path: Path) -> None:
    raw, said = log_in(mesh, "pooled", tmp_path / "log", max_protocol_version="3.0")
    assert raw.full_protocol_version == 30000
    assert [message.size for message in said if message.name == "BackendKeyData"] == [4 + 4 + 4]
    raw.finish()


def principal(*names: bytes) -> bytes:
    return struct.pack(">II", 1, len(names)) + b"".join(map(counted, (REALM, *names)))


def counted(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


@pytest.fixture
def ticket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticket of Kerberos, as far as libpq looks before it asks for GSSAPI."""
    now = int(time.time())
    names = principal(b"app") + principal(b"krbtgt", REALM)
    key, times = struct.pack(">H", 18) + counted(b"k" * 32), struct.pack(">IIII", now, now, now + 3600, now + 3600)
    credential = names + key + times + b"\0" + bytes(12) + counted(b"ticket") + counted(b"")
    (tmp_path / "cache").write_bytes(b"\x05\x04\0\0" + principal(b"app") + credential)
    (tmp_path / "krb5.conf").write_text(f"[libdefaults]\ndefault_realm = {REALM.decode()}\n")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/cache")
    monkeypatch.setenv("KRB5_CONFIG", f"{tmp_path}/krb5.conf")


@pytest.mark.usefixtures("ticket")
def test_gssapi_is_refused_and_a_client_that_prefers_it_goes_on_without(mesh: Mesh, way: str, tmp_path: Path) -> None:
    from psycopg import pq

    for mode, state in (("prefer", pq.ConnStatus.OK), ("require", pq.ConnStatus.BAD)):
        c, said = log_in(mesh, way, tmp_path / mode, gssencmode=mode)
        assert [message.name for message in said][:2] == ["GSSENCRequest", "GSSENCResponse"]
        assert said[1].rest == "N"
        assert c.status == state, c.error_message
        if state == pq.ConnStatus.OK:
            assert c.exec_(b"select 1").get_value(0, 0) == b"1"
        c.finish()


@pytest.mark.parametrize("way", ["passing", "pooled"])
def test_tls_to_the_server_may_begin_at_once(mesh: Mesh, way: str) -> None:
    """No request for it comes first: servers before 17 refuse that."""
    for name, encrypted in ((way, False), (f"{way}, TLS", True)):
        with connect(mesh, name) as c:
            assert c.execute(ENCRYPTED).fetchone() == (encrypted,)
            assert len(c.execute("select repeat('x', 100) from generate_series(1, 50000)").fetchall()) == 50000


def test_proofs_are_not_bound_to_tls_that_ends_at_the_proxy(mesh: Mesh) -> None:
    import psycopg

    with pytest.raises(psycopg.OperationalError):
        connect(mesh, "passing, TLS", sslmode="require")
    for way, binding in (("passing, TLS", "disable"), ("pooled, TLS", "prefer")):
        with connect(mesh, way, sslmode="require", channel_binding=binding) as c:
            assert c.pgconn.ssl_in_use
            assert c.execute(ENCRYPTED).fetchone() == (True,)


# -- what a server says unasked


def test_notices_reach_the_client_whose_statement_they_are_of(mesh: Mesh, way: str) -> None:
    with connect(mesh, way) as one, connect(mesh, way) as other:
        said: dict[str, list[Any]] = {"one": [], "other": []}
        one.add_notice_handler(lambda notice: said["one"].append((notice.severity, notice.message_primary)))
        other.add_notice_handler(lambda notice: said["other"].append((notice.severity, notice.message_primary)))
        one.execute("do $$ begin raise notice 'first'; raise warning 'second'; end $$")
        other.execute("drop table if exists nowhere")
        one.execute("select 1")
        assert said["one"] == [("NOTICE", "first"), ("WARNING", "second")]
        assert [severity for severity, _ in said["other"]] == ["NOTICE"]


def test_a_client_hears_of_its_own_parameters_and_of_nobody_elses(mesh: Mesh, way: str) -> None:
    with connect(mesh, way, application_name="one") as one, connect(mesh, way) as other:
        before = other.info.parameter_status("TimeZone")
        assert one.info.parameter_status("application_name") == "one"
        assert one.info.parameter_status("server_version").startswith("18.")
        for zone in ("Asia/Tokyo", "Europe/Lisbon"):
            one.execute(f"set timezone to '{zone}'")
            other.execute("select 1")
            assert one.info.parameter_status("TimeZone") == zone
            assert (other.info.parameter_status("TimeZone"), other.info.parameter_status("application_name")) == (
                before, "",
            )  # fmt: skip
        one.execute("reset timezone")
        assert one.info.parameter_status("TimeZone") == before


# -- replication


def replicating(mesh: Mesh, way: str) -> Any:
    from psycopg import pq

    place = f"host=127.0.0.1 port={mesh.ports[way]} user=app password=secret dbname=postgres replication=database"
    c = pq.PGconn.connect(place.encode())
    assert c.status == pq.ConnStatus.OK, c.error_message
    return c


@pytest.mark.parametrize("way", ["passing", "pooled"])
def test_a_stream_of_replication_passes(mesh: Mesh, way: str) -> None:
    from psycopg import pq

    c = replicating(mesh, way)
    place = c.exec_(b"IDENTIFY_SYSTEM").get_value(0, 2).decode()
    assert c.exec_(f"START_REPLICATION PHYSICAL {place}".encode()).status == pq.ExecStatus.COPY_BOTH, c.error_message
    mesh.server.ask(f"create table {way} (a int)")
    size, data = c.get_copy_data(0)
    assert size > 0
    assert bytes(data[:1]) in (b"w", b"k")
    c.finish()


@pytest.mark.parametrize("way", ["passing", "pooled"])
def test_changes_of_logical_replication_pass_and_so_does_what_the_client_says_of_them(mesh: Mesh, way: str) -> None:
    from psycopg import pq

    mesh.server.ask(f"create table changed_{way} (word text)")
    mesh.server.ask(f"create publication p_{way} for table changed_{way}")
    c = replicating(mesh, way)
    made = c.exec_(f"CREATE_REPLICATION_SLOT s_{way} LOGICAL pgoutput".encode())
    assert made.status == pq.ExecStatus.TUPLES_OK, c.error_message
    options = f"(proto_version '1', publication_names 'p_{way}')"
    begun = c.exec_(f"START_REPLICATION SLOT s_{way} LOGICAL 0/0 {options}".encode())
    assert begun.status == pq.ExecStatus.COPY_BOTH, c.error_message
    for word in ("alpha", "beta"):
        mesh.server.ask(f"insert into changed_{way} values ('{word}')")
        end = committed(c, word.encode())
        now = int((time.time() - 946684800) * 1_000_000)
        c.put_copy_data(struct.pack(">cQQQQB", b"r", end, end, end, now, 0))
        c.flush()
        confirmed = f"select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name = 's_{way}'"
        assert eventually(partial(says, mesh.server, confirmed, str(end)))
    c.put_copy_end()
    while c.get_copy_data(0)[0] > 0:  # what the server sent before it heard of the end
        pass
    while c.get_result() is not None:
        pass
    assert c.exec_(b"IDENTIFY_SYSTEM").ntuples == 1, c.error_message
    assert c.exec_(f"DROP_REPLICATION_SLOT s_{way}".encode()).status == pq.ExecStatus.COMMAND_OK, c.error_message
    c.finish()


def says(server: PostgreSQL, text: str, answer: str) -> bool:
    return server.ask(text) == answer


def committed(c: Any, word: bytes) -> int:
    """Reads changes up to the end of the transaction that inserts the word: where in the log that ends."""
    seen = False
    while True:
        size, data = c.get_copy_data(0)
        assert size > 0, c.error_message
        change = bytes(data[25:])
        if bytes(data[:1]) != b"w":
            continue
        seen = seen or (change[:1] == b"I" and change.endswith(struct.pack(">cI", b"t", len(word)) + word))
        if seen and change[:1] == b"C":
            return int.from_bytes(change[10:18], "big")
