"""
Reads go to a replica of MariaDB, writes to the primary, whichever that is.

Lives here: a real primary and its replica behind one cluster, read from and written to by PyMySQL; the primary is lost
under load. Does not: how clients share connections (test_mysql_users.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
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
        super().__init__(proxy, {"name": "mysql", "users": {"ann": "pw"}}, primary, replica)

    def connect(self, **options: Any) -> Any:
        import pymysql

        base = {"user": "ann", "password": "pw", "database": "d", "autocommit": True, "ssl_disabled": True}
        return pymysql.connect(host="127.0.0.1", port=self.port, **{**base, **options})


@pytest.fixture
def pair(proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(proxy, tmp_path_factory.mktemp("mariadb"))
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
    with Writers(pair.connect, write, pymysql.Error, lambda connection: not connection.open) as writers:
        assert writers.have_written(500)
        lose_primary(pair, writers)
    check_written(writers, pair.replica.ask("select n from d.w"))
    assert eventually(lambda: pair.roles() == ["", "primary"], 5)
    with pair.connect() as one:
        assert port_of(one) == pair.replica.port, "there is no replica, so the primary is read"
    pair.primary.start()
    assert eventually(lambda: pair.roles() == ["replaced", "primary"], 10), "it would take writes, and gets none"
