"""The difference of two configurations."""

from __future__ import annotations

from metaproxy.config.difference import diff
from metaproxy.config.model import Admin, Cluster, Config, Endpoint, Listener
from metaproxy.config.schema.reading import Use
from metaproxy.units import Secret, seconds


def cluster(name: str, timeout: str = "15s", credentials: dict[str, Secret] | None = None) -> Cluster:
    return Cluster(
        name=name,
        endpoints=(Endpoint(address="a:1"),),
        request_timeout=seconds(timeout),
        credentials=credentials or {},
    )


def test_a_difference_names_what_was_added_changed_and_removed() -> None:
    listener = Listener(name="in", listen=("a:1",), protocol=Use("dubbo"))
    old = Config(clusters=(cluster("a"), cluster("b"), cluster("c")), listeners=(listener,))
    new = Config(
        clusters=(cluster("d"), cluster("b", timeout="1s"), cluster("a")),
        listeners=(listener,),
        admin=Admin(listen="127.0.0.1:1"),
        source="other",
    )
    found = diff(old, new)
    assert found.clusters == (["d"], ["b"], ["c"])
    assert found.listeners == ([], [], [])
    assert found.sections == ["admin"]


def test_a_secret_that_changed_changes_the_cluster_that_uses_it() -> None:
    old = Config(clusters=(cluster("a", credentials={"password": Secret("x")}),))
    new = Config(clusters=(cluster("a", credentials={"password": Secret("y")}),))
    assert diff(old, new).clusters.changed == ["a"]
    assert diff(old, old) == (([], [], []), ([], [], []), [])
