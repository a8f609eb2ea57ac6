"""
MySQL clients that log in at the proxy, and share connections to a MariaDB server.

Lives here: what clients see of each other (nothing), what keeps a connection, many clients on few connections, a server
that dies. Does not: logins that pass (test_mysql.py), the codec's bytes.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import pytest
from catalogue import Clients
from mysql_peers import PYTHON, MariaDB, mysql2_client
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mariadb", "mysql-python")
sys.path.append(str(PYTHON))
SECRETS = {"ann": {"value": "ann-password"}, "app": {"value": "secret"}}
USERS = {"name": "mysql", "users": {"ann": {"secret": "ann"}, "eve": "eve-password"}}
Connect = Callable[..., Any]


class Mesh(NamedTuple):
    """Listener `port` lends two connections; `many` twenty; `stays` a connection for a client's stay."""

    proxy: Proxy
    server: MariaDB
    port: int
    many: int
    stays: int


def config(server: int, ports: list[int]) -> dict[str, Any]:
    credentials = {"user": "app", "password": {"secret": "app"}}
    modes = [{"per_endpoint": 2}, {"per_endpoint": 20}, {"mode": "session", "per_endpoint": 2}]
    clusters = [
        cluster(f"c{number}", server, credentials=credentials, connections=mode) for number, mode in enumerate(modes)
    ]
    drop = {"match": {"statement": "drop"}, "reply": {"error": "denied", "message": "no drops"}}
    eve = {
        "match": {"user": "eve", "statement": {"regex": "insert|use"}},
        "reply": {"error": "denied", "message": "not for eve"},
    }
    listeners = [
        listener(f"l{number}", port, USERS, [drop, eve, {"cluster": f"c{number}"}]) for number, port in enumerate(ports)
    ]
    return {"secrets": SECRETS, "listeners": listeners, "clusters": clusters}


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    server = MariaDB(free_port(), tmp_path_factory.mktemp("mariadb"))
    server.ask("create table d.t (id int auto_increment primary key, a int)")
    ports = [free_port() for _ in range(3)]
    yield Mesh(shared_proxy(config(server.port, ports)), server, *ports)
    server.stop()


@pytest.fixture
def connect(mesh: Mesh) -> Iterator[Connect]:
    """connect(**options): a client of the listener with two connections, by PyMySQL."""
    import pymysql

    made: list[Any] = []

    def client(**options: Any) -> Any:
        base: dict[str, Any] = {
            "port": mesh.port, "user": "ann", "password": "ann-password", "database": "d", "autocommit": True,
            "ssl_disabled": True,
        }  # fmt: skip
        made.append(pymysql.connect(host="127.0.0.1", **{**base, **options}))
        return made[-1]

    yield client
    for each in made:
        if each.open:
            each.close()


def ask(connection: Any, text: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall()


def thread(connection: Any) -> int:
    """Which of the server's connections carries a statement of this client."""
    ((number,),) = ask(connection, "select connection_id() + 0")
    return int(number)


# -- the login


def test_many_clients_share_a_connection(connect: Connect) -> None:
    clients = [connect() for _ in range(10)]
    assert len({thread(client) for client in clients}) == 1
    assert ask(clients[0], "select current_user()") == (("app@%",),)


@pytest.mark.parametrize("options", [{"password": "wrong"}, {"user": "nobody"}, {"password": ""}])
def test_a_wrong_login_is_refused_as_a_server_would(connect: Connect, options: dict[str, str]) -> None:
    import pymysql

    with pytest.raises(pymysql.err.OperationalError, match="Access denied") as caught:
        connect(**options)
    assert caught.value.args[0] == 1045


def test_a_database_that_is_not_there_is_the_server_s_error(connect: Connect) -> None:
    import pymysql

    for _ in range(3):
        with pytest.raises(pymysql.err.OperationalError) as caught:
            connect(database="nowhere")
        assert caught.value.args == (1049, "Unknown database 'nowhere'")
    assert ask(connect(), "select 1") == ((1,),)


def test_other_drivers_log_in_and_use_prepared_statements(mesh: Mesh) -> None:
    import mysql.connector
    import MySQLdb

    c = MySQLdb.connect(host="127.0.0.1", port=mesh.port, user="ann", passwd="ann-password", db="d")
    k = c.cursor()
    k.execute("select %s + 1", (1,))
    assert k.fetchall() == ((2,),)
    c.close()
    login: dict[str, Any] = {"user": "ann", "password": "ann-password", "use_pure": True, "ssl_disabled": True}
    with (
        mysql.connector.connect(host="127.0.0.1", port=mesh.port, **login) as one,
        mysql.connector.connect(host="127.0.0.1", port=mesh.port, **login) as other,
    ):
        with one.cursor(prepared=True) as k, other.cursor(prepared=True) as o:
            for number in range(5):
                k.execute("select ? + 1, ?", (number, "a"))
                o.execute("select ? * 2", (number,))
                assert (k.fetchall(), o.fetchall()) == ([(number + 1, "a")], [(number * 2,)])
        one.cmd_change_user("ann", "ann-password", "other")
        with one.cursor() as k:
            k.execute("select database()")
            assert k.fetchall() == [("other",)]


def test_a_client_that_resets_its_connection_has_nothing_of_before_and_keeps_none(mesh: Mesh, connect: Connect) -> None:
    import mysql.connector

    login: dict[str, Any] = {"user": "ann", "password": "ann-password", "database": "d", "autocommit": True}
    bob = connect()
    with mysql.connector.connect(
        host="127.0.0.1", port=mesh.port, use_pure=True, ssl_disabled=True, **login
    ) as c, c.cursor() as k:  # fmt: skip
        k.execute("select @@sql_mode")
        (before,) = k.fetchall()
        for text in ("set sql_mode = ''", "set @a = 5", "create temporary table own (a int)", "begin"):
            k.execute(text)
        k.execute("insert into t (a) values (4711)")
        k.execute("select connection_id() + 0")
        ((held,),) = k.fetchall()
        assert thread(bob) != held
        c.cmd_reset_connection()
        assert {thread(bob) for _ in range(3)} == {thread(connect())}
        k.execute("select @@sql_mode, @a, database()")
        assert k.fetchall() == [(*before, None, "d")]
        with pytest.raises(mysql.connector.errors.ProgrammingError) as gone:
            k.execute("select * from own")
        assert gone.value.errno == 1146
        k.execute("select count(*) from t where a = 4711")
        assert k.fetchall() == [(0,)]
        k.execute("set @b = 1")  # it may be bound again
        assert thread(bob)


def test_a_client_may_become_another_user_and_has_nothing_of_before(mesh: Mesh, connect: Connect) -> None:
    import mysql.connector

    ann, bob = connect(), connect()
    ask(ann, "create or replace table mine (a int)")
    login: dict[str, Any] = {"user": "ann", "password": "ann-password", "database": "d", "autocommit": True}
    with mysql.connector.connect(
        host="127.0.0.1", port=mesh.port, use_pure=True, ssl_disabled=True, **login
    ) as c:  # fmt: skip
        with c.cursor() as k:
            k.execute("set @a = 5")
            assert thread(bob)
        c.cmd_change_user("eve", "eve-password", "other")
        with c.cursor() as k:
            k.execute("select @a, database()")
            assert k.fetchall() == [(None, "other")]
            with pytest.raises(mysql.connector.errors.ProgrammingError, match="not for eve") as refused:
                k.execute("insert into d.t (a) values (1)")
            assert refused.value.errno == 1142
        with pytest.raises(mysql.connector.errors.ProgrammingError) as wrong:
            c.cmd_change_user("ann", "eve-password", "d")
        assert wrong.value.errno == 1045


@pytest.mark.peer("mysql2")
def test_mysql2_does_the_same_as_without_the_proxy(mesh: Mesh, clients: Clients) -> None:
    jobs = clients(mysql2_client())
    steps = [
        ["query", "select 1 + 1 as a; select 2 as b"],
        ["execute", "select ? + ? as a", [1, 2]],
        ["execute", "select * from nowhere", []],
        ["prepare", "select ? as x", [[5], ["six"], [None]]],
        ["query", "select database() as d"],
        ["many", "select ? as i", 50],
        ["ping"],
    ]
    through = jobs.run(port=mesh.port, user="ann", password="ann-password", steps=steps)
    assert through == jobs.run(port=mesh.server.port, steps=steps)


# -- what clients see of each other


def test_settings_are_a_client_s_own(connect: Connect) -> None:
    ann, bob = connect(), connect()
    before = ask(bob, "select @@sql_mode, @@wait_timeout")
    ask(ann, "set sql_mode = '', wait_timeout = 500")
    for _ in range(5):
        assert ask(ann, "select @@sql_mode, @@wait_timeout") == (("", 500),)
        assert ask(bob, "select @@sql_mode, @@wait_timeout") == before
    ask(ann, "set wait_timeout = default, sql_mode = default")
    assert ask(ann, "select @@sql_mode, @@wait_timeout") == before
    assert thread(ann) == thread(bob)


def test_the_database_is_a_client_s_own_and_stays_if_another_is_refused(connect: Connect) -> None:
    import pymysql

    ann, bob = connect(), connect()
    ask(ann, "use other")
    assert (ask(ann, "select database()"), ask(bob, "select database()")) == ((("other",),), (("d",),))
    with pytest.raises(pymysql.err.OperationalError):
        ask(ann, "use nowhere")
    with pytest.raises(pymysql.err.OperationalError):
        ann.select_db("nowhere")
    assert ask(ann, "select database()") == (("other",),)


def test_names_of_characters_are_a_client_s_own(connect: Connect) -> None:
    ann, bob = connect(init_command="set names latin1"), connect()
    show = "show variables like 'character_set_client'"
    for _ in range(3):
        assert (ask(ann, show)[0][1], ask(bob, show)[0][1]) == ("latin1", "utf8mb4")


def test_the_last_id_that_was_inserted_is_a_client_s_own(connect: Connect) -> None:
    ann, bob = connect(), connect()
    with ann.cursor() as k:
        k.execute("insert into t (a) values (1)")
        number = k.lastrowid
    ask(bob, "insert into t (a) values (2)")
    assert ask(ann, "select last_insert_id()") == ((number,),)
    assert ask(bob, "select last_insert_id(), @@identity") == ((number + 1, number + 1),)
    assert ask(connect(), "select last_insert_id()") == ((0,),)


# -- what keeps a connection


def test_a_transaction_keeps_its_connection_until_its_end(connect: Connect) -> None:
    ann, bob = connect(), connect()
    ann.begin()
    ask(ann, "insert into t (a) values (99)")
    held = thread(ann)
    assert thread(bob) != held
    assert ask(bob, "select count(*) from t where a = 99") == ((0,),)
    ann.rollback()
    assert ask(ann, "select count(*) from t where a = 99") == ((0,),)
    carol = connect()
    ann.begin()
    bob.begin()
    held = thread(ann)
    waits = ThreadPoolExecutor().submit(thread, carol)
    assert thread(bob) != held and not waits.done()
    ann.commit()
    assert waits.result(5) == held
    bob.commit()


def test_without_autocommit_statements_open_transactions(connect: Connect) -> None:
    ann, bob = connect(autocommit=False), connect()
    ask(ann, "insert into t (a) values (77)")
    assert ask(bob, "select count(*) from t where a = 77") == ((0,),)
    ann.commit()
    assert ask(bob, "select count(*) from t where a = 77") == ((1,),)
    ask(bob, "delete from t where a = 77")


@pytest.mark.parametrize(
    ("make", "look", "found"),
    [
        ("create temporary table own (a int)", "select count(*) from own", ((0,),)),
        ("set @a = 5", "select @a", ((5,),)),
        ("select get_lock('l', 0)", "select is_used_lock('l') = connection_id()", ((1,),)),
        ("prepare s from 'select 7'", "execute s", ((7,),)),
        ("lock tables t write", "select count(*) >= 0 from t", ((1,),)),
    ],
)
def test_what_can_not_be_made_again_keeps_its_connection(connect: Connect, make: str, look: str, found: object) -> None:
    ann, bob = connect(), connect()
    ask(ann, make)
    for _ in range(3):
        ask(bob, "select 1")
        assert ask(ann, look) == found
    assert thread(ann) != thread(bob)
    ann.close()
    assert thread(bob)


def test_locked_tables_keep_it_until_they_are_unlocked(connect: Connect) -> None:
    ann, bob = connect(), connect()
    ask(ann, "lock tables t read")
    assert thread(ann) != thread(bob)
    ask(ann, "unlock tables")
    assert thread(ann) == thread(bob)


def test_nothing_is_left_for_the_next_client(connect: Connect) -> None:
    ann = connect()
    ask(ann, "set @left = 1")
    ask(ann, "create temporary table own (a int)")
    ann.close()
    for _ in range(4):
        other = connect()
        assert ask(other, "show tables like 'own'") == ()
        assert ask(other, "select @left") == ((None,),)
        other.close()


def test_warnings_can_be_asked_for_behind_a_statement(connect: Connect) -> None:
    ann, bob = connect(), connect()
    ask(ann, "select cast('abc' as signed)")
    ask(bob, "select 1")
    assert ask(ann, "show warnings")[0][1] == 1292
    ask(ann, "select 1")
    assert ask(bob, "show warnings") == ()


def test_rows_found_are_told_behind_their_statement_and_refused_elsewhere(connect: Connect) -> None:
    import pymysql

    ann, bob = connect(), connect()
    ask(ann, "select sql_calc_found_rows seq from seq_1_to_50 limit 2")
    ask(bob, "select 1")
    assert ask(ann, "select found_rows()") == ((50,),)
    ask(bob, "select 1")
    with pytest.raises(pymysql.err.NotSupportedError, match="another connection"):
        ask(ann, "select row_count()")


def test_a_cursor_keeps_its_connection_until_its_last_row(mesh: Mesh, connect: Connect) -> None:
    """By hand: PyMySQL has no cursors of the server."""
    import pymysql

    ann, bob = connect(), connect()
    ann._execute_command(0x16, "select seq from seq_1_to_10")
    packet = ann._read_packet().get_all_data()
    for _ in range(2):
        assert not ann._read_packet().is_error_packet()
    statement = packet[1:5]
    ann._execute_command(0x17, statement + b"\1" + b"\1\0\0\0")
    for _ in range(3):
        ann._read_packet()
    found = 0
    last = False
    while not last:
        ask(bob, "select 1")
        ann._execute_command(0x1C, statement + b"\4\0\0\0")
        while not (packet := ann._read_packet()).is_eof_packet():
            found += 1
        last = bool(int.from_bytes(packet.get_all_data()[3:5], "little") & 0x80)
    assert found == 10
    ann._execute_command(0x19, statement)
    assert ask(ann, "select 1") == ((1,),)
    assert isinstance(ann, pymysql.Connection)


def test_values_that_are_sent_ahead_reach_their_statement(mesh: Mesh) -> None:
    import io

    import mysql.connector

    login: dict[str, Any] = {"user": "ann", "password": "ann-password", "use_pure": True, "ssl_disabled": True}
    with mysql.connector.connect(host="127.0.0.1", port=mesh.port, **login) as c, c.cursor(prepared=True) as k:
        for size in (10_000, 3_000_000):
            k.execute("select length(?)", (io.BytesIO(b"x" * size),))
            assert k.fetchall() == [(size,)]


@pytest.mark.parametrize("stays", [False, True], ids=["transaction", "session"])
def test_values_that_were_sent_ahead_are_nobody_else_s(mesh: Mesh, stays: bool) -> None:
    import io

    import mysql.connector

    login: dict[str, Any] = {"user": "ann", "password": "ann-password", "use_pure": True, "ssl_disabled": True}
    port = mesh.stays if stays else mesh.port
    first = mysql.connector.connect(host="127.0.0.1", port=port, **login)
    statement = first.cmd_stmt_prepare(b"select ? as mine")["statement_id"]
    first.cmd_stmt_send_long_data(statement, 0, io.BytesIO(b"the first one's"))
    if stays:
        first.close()
    else:
        first.cmd_query("select 1")
        first.get_rows()
    for _ in range(2):
        with mysql.connector.connect(host="127.0.0.1", port=port, **login) as other, other.cursor(prepared=True) as k:
            k.execute("select ? as mine", ("the other one's",))
            assert k.fetchall() == [("the other one's",)]
    first.close()


def test_long_statements_and_results_pass(connect: Connect) -> None:
    ann = connect(max_allowed_packet=64 << 20)
    assert ask(ann, "select length(%s)", "y" * 20_000_000) == ((20_000_000,),)
    assert ask(ann, "select repeat('z', 20000000)") == (("z" * 20_000_000,),)


def test_a_denied_statement_leaves_the_client_where_it_was(connect: Connect) -> None:
    import pymysql

    ann = connect()
    ann.begin()
    held = thread(ann)
    with pytest.raises(pymysql.err.OperationalError, match="no drops"):
        ask(ann, "drop table t")
    assert thread(ann) == held
    ann.rollback()


def test_a_denied_database_is_not_the_client_s(connect: Connect) -> None:
    import pymysql

    eve = connect(user="eve", password="eve-password")
    with pytest.raises(pymysql.err.OperationalError, match="not for eve"):
        ask(eve, "use other")
    assert ask(eve, "select database()") == (("d",),)


def test_what_a_compound_statement_sets_is_not_another_client_s(connect: Connect) -> None:
    ann = connect()
    ask(ann, "begin not atomic set session group_concat_max_len = 5; end")
    assert ask(ann, "select @@group_concat_max_len") == ((5,),)
    ((other,),) = ask(connect(), "select @@group_concat_max_len")
    assert other != 5


def test_a_client_that_stays_keeps_what_it_has_and_leaves_nothing(mesh: Mesh, connect: Connect) -> None:
    ann, bob = connect(port=mesh.stays), connect(port=mesh.stays)
    ask(ann, "insert into t (a) values (1)")
    assert ask(ann, "select row_count()") == ((1,),)
    ask(ann, "create temporary table own (a int)")
    held = thread(ann)
    assert thread(bob) != held
    ann.close()
    carol = connect(port=mesh.stays)
    assert ask(carol, "show tables like 'own'") == ()


# -- many clients, a server that dies


def test_a_thousand_clients_on_twenty_connections(mesh: Mesh, connect: Connect) -> None:
    before = mesh.server.connections()
    clients = [connect(port=mesh.many) for _ in range(1000)]
    errors: list[BaseException] = []

    def work(mine: list[Any]) -> None:
        try:
            for round in range(2):
                for client in mine:
                    client.begin()
                    ask(client, "insert into t (a) values (%s)", round)
                    client.rollback()
                    assert ask(client, "select 1") == ((1,),)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(clients[number::25],)) for number in range(25)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    assert errors == []
    assert mesh.server.connections() - before <= 20


# -- ends that other clients ask for


def sleeping(server: MariaDB) -> int:
    return int(server.ask("select count(*) from information_schema.processlist where info like 'select sleep%'"))


def test_a_statement_is_killed_by_the_number_that_its_client_has(mesh: Mesh, connect: Connect) -> None:
    import pymysql

    clients = [connect() for _ in range(3)]
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(ask, client, "select sleep(1.5), 5") for client in clients[:2])
        assert eventually(lambda: sleeping(mesh.server) == 2), "on all connections that there may be"
        clients[2].cursor().execute(f"kill query {clients[0].thread_id()}")
        with pytest.raises(pymysql.err.OperationalError, match="interrupted"):
            first.result(timeout=3)
        assert not second.done()
        assert second.result(timeout=6) == ((0, 5),)
    assert ask(clients[0], "select connection_id()") == ((clients[0].thread_id(),),)
    with pytest.raises(pymysql.err.OperationalError) as unknown:
        ask(clients[2], "kill query 2147483648")
    assert unknown.value.args[0] == 1094


def test_a_client_whose_connection_is_killed_loses_its_transaction(mesh: Mesh, connect: Connect) -> None:
    import pymysql

    victim, idle, killer = connect(), connect(), connect()
    victim.begin()
    ask(victim, "insert into t (a) values (777)")
    killer.kill(victim.thread_id())
    killer.kill(idle.thread_id())
    for client in (victim, idle):
        with pytest.raises(pymysql.err.OperationalError) as lost:
            ask(client, "select 1")
        assert lost.value.args[0] == (2013 if client is victim else 1927)
    assert ask(killer, "select count(*) from t where a = 777") == ((0,),)
    assert eventually(lambda: mesh.server.ask("select count(*) from d.t where a = 777") == "0\n")


def test_of_many_statements_those_end_that_are_killed_and_no_others(mesh: Mesh, connect: Connect) -> None:
    """Twenty are carried out, and wait for a table that is locked; twenty more wait for a connection."""
    import random

    import pymysql

    def stand(count: int) -> bool:
        waiting = "select count(*) from information_schema.processlist where info like '%from gate'"
        return bool(eventually(lambda: int(mesh.server.ask(waiting)) == count))

    mesh.server.ask("create or replace table d.gate (a int)")
    holder = connect(port=mesh.server.port, user="app", password="secret")
    clients = [connect(port=mesh.many) for _ in range(40)]
    killer = connect(port=mesh.many)
    for _ in range(2):
        victims = set(random.sample(range(20), 10))
        ask(holder, "lock tables gate write")
        with ThreadPoolExecutor(40) as pool:
            asked = [
                pool.submit(ask, client, f"select count(*) + {at} from gate") for at, client in enumerate(clients[:20])
            ]
            assert stand(20)
            asked += [pool.submit(ask, clients[at], f"select count(*) + {at} from gate") for at in range(20, 40)]
            for at in victims:
                ask(killer, f"kill query {clients[at].thread_id()}")
            for at in victims:
                with pytest.raises(pymysql.err.OperationalError) as ended:
                    asked[at].result(10)
                assert ended.value.args[0] == 1317
            assert stand(20), "others have taken the connections of those that ended"
            ask(holder, "unlock tables")
            wait(asked, timeout=10)
        assert {at for at, each in enumerate(asked) if each.exception() is not None} == victims
        assert all(each.result() == ((at,),) for at, each in enumerate(asked) if at not in victims)
        assert [ask(clients[at], "select 1") for at in victims] == [((1,),)] * 10


def test_a_server_that_dies_ends_what_it_had_and_no_more(
    proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory, connect: Connect
) -> None:
    import pymysql

    server = MariaDB(free_port(), tmp_path_factory.mktemp("dying"))
    ports = [free_port() for _ in range(3)]
    proxy(config(server.port, ports))
    idle, busy = connect(port=ports[0]), connect(port=ports[0])
    busy.begin()
    server.kill()
    with pytest.raises(pymysql.err.OperationalError):
        ask(busy, "select 1")
    with pytest.raises(pymysql.err.OperationalError) as caught:
        ask(idle, "select 1")
    assert caught.value.args[0] == 1429
    server.start()
    assert eventually(lambda: answered(idle), 10)
    server.stop()


def answered(client: Any) -> bool:
    import pymysql

    try:
        return bool(ask(client, "select 1") == ((1,),))
    except pymysql.err.OperationalError:
        return False
