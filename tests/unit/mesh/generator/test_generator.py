"""What is made is kept, and made again when something that it was made of has changed."""

from __future__ import annotations

from mesh_objects import read_one
from mesh_stand import CLIENT, ENTRY, HOST, RULE, Stand

from metaproxy.mesh.generator.node import ProxyNode
from metaproxy.mesh.objects.reading import Key

ROUTER = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: {HOST}, subset: v1}}}}]}}]}}"


def many(services: int) -> Stand:
    stand = Stand()
    for number in range(services):
        host = f"s{number}.demo.svc.cluster.local"
        entry = ENTRY.replace(HOST, host).replace("127.0.10.1", f"127.0.20.{number}")
        stand.put("ServiceEntry", f"s{number}", entry)
        stand.put("DestinationRule", f"s{number}", RULE.replace(HOST, host))
        stand.put("MetaRouter", f"s{number}", ROUTER.replace(HOST, host))
    return stand


def made_by(stand: Stand) -> int:
    """How many units are made for the next answer."""
    before = stand.generator.made
    assert stand.resources
    return stand.generator.made - before


def test_nothing_is_made_twice_for_what_has_not_changed() -> None:
    stand = many(3)
    assert made_by(stand) == 6
    assert made_by(stand) == 0


def test_one_changed_object_has_made_again_what_is_made_of_it_and_nothing_else() -> None:
    stand = many(20)
    made_by(stand)
    before = stand.resources
    host = "s7.demo.svc.cluster.local"
    stand.put("MetaRouter", "s7", ROUTER.replace(HOST, host).replace("v1", "v2"))
    assert made_by(stand) == 1
    after = stand.resources
    changed = {name for name, message in after.routes.items() if message is not before.routes[name]}
    assert changed == {f"{host}_20880"}
    assert all(message is before.clusters[name] for name, message in after.clusters.items())
    assert all(message is before.endpoints[name] for name, message in after.endpoints.items())


def test_other_endpoints_are_new_messages_and_routes_listeners_and_clusters_are_those_of_before() -> None:
    stand = many(20)
    assert stand.resources
    before = stand.generator.messages
    host = "s7.demo.svc.cluster.local"
    entry = ENTRY.replace(HOST, host).replace("127.0.10.1", "127.0.20.7")
    stand.put("ServiceEntry", "s7", entry.replace("127.0.0.12, ", "127.0.0.13, "))
    assert stand.resources
    assert stand.generator.messages - before == 2  # of all endpoints, and of the subset v2


def test_a_message_that_comes_again_after_another_one_is_made_again() -> None:
    stand = many(1)
    first = stand.resources
    stand.put("MetaRouter", "s0", ROUTER.replace(HOST, "s0.demo.svc.cluster.local").replace("v1", "v2"))
    assert stand.resources
    stand.put("MetaRouter", "s0", ROUTER.replace(HOST, "s0.demo.svc.cluster.local"))
    assert stand.resources == first


def test_an_object_on_which_nothing_depends_has_nothing_made_again() -> None:
    stand = many(5)
    made_by(stand)
    stand.put("DestinationRule", "other", "{host: other.demo.svc.cluster.local}")
    stand.put("WorkloadEntry", "other", "{address: 127.0.0.9, labels: {app: other}}")
    assert made_by(stand) == 0


def test_an_update_names_what_may_have_changed_and_no_more() -> None:
    stand = many(20)
    first = stand.generator.update(CLIENT)
    assert len(first.listeners) == 20
    assert stand.generator.update(CLIENT).listeners == set()
    host = "s7.demo.svc.cluster.local"
    stand.put("MetaRouter", "s7", ROUTER.replace(HOST, host).replace("v1", "v2"))
    assert stand.generator.update(CLIENT).listeners == {"127.0.20.7_20880"}
    stand.generator.remove(Key("ServiceEntry", "demo", "s7"))
    gone = stand.generator.update(CLIENT)
    assert gone.listeners == {"127.0.20.7_20880"}
    assert gone.clusters == {f"outbound|20880|{subset}|{host}" for subset in ("", "v1", "v2")}
    assert len(gone.resources.listeners) == 19


def test_clients_at_other_addresses_share_what_is_made_unless_a_service_has_one() -> None:
    stand = many(4)
    one, two = (ProxyNode(addresses=(address,), namespace="demo") for address in ("10.0.0.1", "10.0.0.2"))
    assert stand.generator.resources(one)
    before = stand.generator.made
    assert stand.generator.resources(two)
    assert stand.generator.made == before + 4  # what stands before its own servers
    stand.put("ServiceEntry", "own", ENTRY.replace(HOST, "own.demo").replace("127.0.10.1", "10.0.0.2"))
    assert "10.0.0.2_20880" in stand.generator.resources(ProxyNode(addresses=("10.0.0.2",), namespace="demo")).listeners
    assert (
        "127.0.0.1_20880" in stand.generator.resources(ProxyNode(addresses=("10.0.0.1",), namespace="demo")).listeners
    )


def test_a_node_that_is_forgotten_gets_everything_again() -> None:
    stand = many(3)
    stand.generator.update(CLIENT)
    stand.generator.forget(CLIENT)
    assert len(stand.generator.update(CLIENT).listeners) == 3


def test_a_new_protocol_reaches_the_ports_that_mention_it() -> None:
    stand = many(3).put("ServiceEntry", "x", "{hosts: [x.y], ports: [{number: 1, name: tcp-metaprotocol-house}]}")
    made_by(stand)
    assert "127.0.0.1_1" not in stand.resources.listeners
    stand.put("ApplicationProtocol", "house", "{protocol: house, codec: aeraki.meta_protocol.codec.brpc}")
    assert made_by(stand) == 1
    assert "127.0.0.1_1" in stand.resources.listeners


def test_an_object_that_is_gone_takes_with_it_what_was_made_of_it() -> None:
    stand = many(2)
    stand.generator.remove(Key("ServiceEntry", "demo", "s0"))
    assert {name.split("_")[0] for name in stand.resources.listeners} == {"127.0.20.1"}
    assert not [name for name in stand.resources.clusters if "s0." in name]
    stand.generator.remove(Key("ServiceEntry", "demo", "s0"))


def test_a_protocol_that_is_gone_takes_effect() -> None:
    stand = Stand().hello()
    stand.put("ApplicationProtocol", "dubbo", "{protocol: dubbo, codec: house}")
    assert stand.filter("127.0.10.1_20880")["codec"] == {"name": "house"}
    stand.generator.remove(Key("ApplicationProtocol", "", "dubbo"))
    assert stand.filter("127.0.10.1_20880")["codec"] == {"name": "aeraki.meta_protocol.codec.dubbo"}


def test_nodes_that_differ_in_nothing_that_counts_share_what_is_made() -> None:
    stand = many(4)
    assert stand.generator.resources(ProxyNode(namespace="demo", labels={"app": "a"}))
    before = stand.generator.made
    assert stand.generator.resources(ProxyNode(namespace="demo", labels={"app": "b"}))
    assert stand.generator.made == before + 4  # what stands before their own servers


def test_of_two_services_at_one_address_the_first_has_it_and_the_other_is_told_so() -> None:
    stand = Stand().hello()
    stand.put("ServiceEntry", "late", ENTRY.replace(HOST, "late.demo.svc.cluster.local"))
    assert stand.filter("127.0.10.1_20880")["stat_prefix"] == f"outbound|20880||{HOST}"
    (text,) = stand.notes("ServiceEntry", "late")
    assert text.startswith(f"127.0.10.1_20880 is where {HOST} listens already")


def test_an_object_in_order_has_no_notes() -> None:
    stand = Stand().hello().put("MetaRouter", "hello", ROUTER)
    assert stand.generator.notes(CLIENT) == {}


def test_of_two_routers_of_a_host_the_first_by_name_counts() -> None:
    stand = Stand().hello().put("MetaRouter", "b", ROUTER.replace("v1", "v2")).put("MetaRouter", "a", ROUTER)
    assert "|v1|" in str(stand.one("routes", f"{HOST}_20880"))
    assert stand.notes("MetaRouter", "b") == [
        f"MetaRouter demo/a is for the host {HOST}, too, and goes before it",
    ]


def test_an_object_that_is_put_again_in_another_version_is_one_object() -> None:
    stand = Stand().hello()
    stand.generator.put(read_one("ServiceEntry", "hello", ENTRY.replace("127.0.10.1", "127.0.10.2")))
    assert list(stand.resources.listeners) == ["127.0.10.2_20880"]
