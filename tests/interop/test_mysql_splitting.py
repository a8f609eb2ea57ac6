"""
Reads go to a replica of MariaDB, writes to the primary, whichever that is.

Lives here: a real primary and its replica behind one cluster, read from and written to by PyMySQL; the primary is lost
under load. Does not: how clients share connections (test_mysql_users.py).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mysql_peers import PYTHON, MariaDB
from proxied import Proxy
from running import eventually, free_port
from split_pair import SplitPair, Writers, check_written, lose_primary

pytestmark = pytest.mark.peer("mariadb", "mysql-python")
sys.path.append(str(PYTHON))


class Pair(SplitPair[MariaDB]):
    """A pair of MariaDB."""

    def __init__(self, proxy: Callable[..., Proxy], folder: Path) -> None:
        servers = []
        for number in (1, 2):
            (folder / str(number)).mkdir()
            options = (
                "--log-bin=log",
                f"--server-id={number}",
                "--log-slave-updates=1",
                "--innodb-buffer-pool-size=16M",
            )
            servers.append(MariaDB(free_port(), folder / str(number), *options))
        primary, replica = servers
        replica.replicates(primary)
        again = {"attempts": 5, "on": ["connect", "reset"], "backoff": "200ms..1s"}
        super().__init__(proxy, {"name": "mysql", "users": {"ann": "pw"}}, primary, replica, retry=again)

    def connect(self, **options: Any) -> Any:
        import pymysql

        base = {"user": "ann", "password": "pw", "database": "d", "autocommit": True, "ssl_disabled": True}
        return pymysql.connect(host="127.0.0.1", port=self.port, **{**base, **options})


@pytest.fixture(scope="module")
def pair(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The last test loses it."""
    made = Pair(shared_proxy, tmp_path_factory.mktemp("mariadb"))
    yield made
    made.stop()


def ask(connection: Any, text: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall()


WHERE = "select variable_value from information_schema.global_variables where variable_name = 'port'"


def port_of(connection: Any, text: str = WHERE) -> int:
    ((port,),) = ask(connection, text)
    return int(port)


def test_statements_go_where_they_may_and_own_writes_are_read(pair: Pair) -> None:
    one = pair.connect()
    assert {port_of(one) for _ in range(3)} == {pair.replica.port}
    ask(one, "create table t (n int primary key auto_increment, a int)")
    for number in range(50):
        ask(one, "insert into t (a) values (%s)", number)
        assert ask(one, "select count(*) from t") == ((number + 1,),)
    assert ask(one, "select last_insert_id()") == ((50,),)
    assert port_of(one, WHERE + " for update") == pair.primary.port, "it locks, or would"
    one.begin()
    assert port_of(one) == pair.primary.port, "a transaction stays where it began"
    one.rollback()
    assert eventually(lambda: port_of(one) == pair.replica.port, 5), "the replica has them by now"
    ask(one, "create temporary table u as select 1 as n")
    assert ask(one, "select n from u") == ((1,),), "it is bound"
    one.close()
    careful = pair.connect(autocommit=False)
    assert port_of(careful) == pair.primary.port, "this read began a transaction"
    ask(careful, "insert into t (a) values (1)")
    careful.commit()
    assert port_of(careful) == pair.primary.port
    careful.close()


def test_a_client_reads_its_writes_while_the_replica_has_not_got_them(pair: Pair) -> None:
    one, other = pair.connect(), pair.connect()
    ask(one, "create table v (n int)")
    assert eventually(lambda: {port_of(one), port_of(other)} == {pair.replica.port}, 5)
    pair.replica.ask("stop slave sql_thread")
    ask(one, "insert into v values (1)")
    assert ask(one, "select count(*) from v") == ((1,),)
    assert port_of(one) == pair.primary.port
    assert eventually(lambda: pair.roles() == ["primary", "lagging"], 5), "what is stopped is behind for ever"
    assert port_of(other) == pair.primary.port
    pair.replica.ask("start slave")
    assert eventually(lambda: {port_of(one), port_of(other)} == {pair.replica.port}, 10)
    assert ask(other, "select count(*) from v") == ((1,),)
    one.close()
    other.close()


def reads_at_the_replica(pair: Pair, connection: Any) -> bool:
    return port_of(connection) == pair.replica.port


def check_autocommit_off(pair: Pair) -> None:
    """What only reads begins no transaction at the replica, and what a client did not commit is not there."""

    def is_off() -> bool:
        with pair.connect(autocommit=None) as connection:
            return not connection.get_autocommit()

    assert eventually(is_off, 5), "the proxy has seen it soon"
    plain = pair.connect(autocommit=None)
    assert ask(plain, "select count(*) from s") == ((0,),)
    assert port_of(plain) == pair.primary.port, "this read began a transaction"
    ask(plain, "insert into s values (1)")
    plain.rollback()
    one, other = pair.connect(), pair.connect()  # PyMySQL sets autocommit where the server has it off
    for connection in (one, other):
        assert eventually(partial(reads_at_the_replica, pair, connection), 10)
        assert ask(connection, "select count(*) from s") == ((0,),)
    assert pair.replica.ask("select count(*) from information_schema.innodb_trx").strip() == "0"
    for connection in (plain, one, other):
        connection.close()


def test_servers_with_autocommit_off_begin_no_transaction_on_a_replica(pair: Pair) -> None:
    pair.primary.ask("create table d.s (n int); revoke super, connection admin on *.* from app@'%'")  # by init_connect
    assert eventually(lambda: pair.replica.ask("show tables from d like 's'").split() == ["s"], 5)
    for setting in ("autocommit = 0", "autocommit = 1, global init_connect = 'set autocommit = 0'"):
        for server in (pair.primary, pair.replica):
            server.ask(f"set global {setting}; kill user app")
        assert eventually(lambda: sorted(pair.roles()) == ["primary", "replica"], 10), pair.roles()
        check_autocommit_off(pair)
    for server in (pair.primary, pair.replica):
        server.ask("set global init_connect = ''; kill user app")


def test_reads_go_on_when_the_replica_shuts_down(pair: Pair) -> None:
    """They may be sent again, so that no client sees it."""
    failed: list[Exception] = []
    read = 0
    over = threading.Event()

    def go_on(text: str, wanted: int) -> None:
        nonlocal read
        with pair.connect() as connection:
            while not over.is_set():
                try:
                    assert len(ask(connection, text)) == wanted
                    read += 1
                except Exception as error:
                    failed.append(error)
                    return

    assert eventually(lambda: sorted(pair.roles()) == ["primary", "replica"], 10), pair.roles()
    texts = [("select 1", 1)] * 4 + [("select count(*) from seq_1_to_3000000", 1)]
    threads = [threading.Thread(target=go_on, args=each) for each in texts]
    for thread in threads:
        thread.start()
    try:
        assert eventually(lambda: read > 200, 10)
        pair.replica.stop()
        before = read
        assert eventually(lambda: read > before + 200 or bool(failed), 10)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert eventually(lambda: pair.roles() == ["primary", ""], 5)
    pair.replica.start()
    assert eventually(lambda: pair.roles() == ["primary", "replica"], 10)


def write(connection: Any, number: int) -> None:
    ask(connection, "insert into w values (%s)", number)


def test_the_primary_is_lost_and_the_replica_takes_over(pair: Pair) -> None:
    """How long until writes work; no acknowledged write is lost, none is carried out twice."""
    import pymysql

    with pair.connect() as one:
        ask(one, "create table w (n bigint)")
    for server in (pair.primary, pair.replica):
        server.ask("set global rpl_semi_sync_master_enabled=1; set global rpl_semi_sync_slave_enabled=1")
    pair.primary.ask("set global rpl_semi_sync_master_timeout=60000; set global rpl_semi_sync_master_wait_point=1")
    pair.replica.ask("stop slave; start slave; set global rpl_semi_sync_master_enabled=0")
    assert eventually(lambda: pair.primary.ask("show status like 'rpl_semi_sync_master_clients'").split()[1] == "1", 10)
    with Writers(
        pair.connect, write, pymysql.Error, lambda error: error.args[0], lambda connection: not connection.open
    ) as writers:
        assert writers.have_written(500)
        lose_primary(pair, writers)
    check_written(writers, pair.replica.ask("select n from d.w"), {1927, 1429})
    assert eventually(lambda: pair.roles() == ["", "primary"], 5)
    with pair.connect() as one:
        assert port_of(one) == pair.replica.port, "there is no replica, so the primary is read"
    pair.primary.start()
    assert eventually(lambda: pair.roles() == ["replaced", "primary"], 10), "it would take writes, and gets none"
