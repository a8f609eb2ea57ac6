"""Other sources than the file contribute listeners and clusters, which are in force with those of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from present import present
from stand import Stand

from metaproxy.app.application import LOOK_EVERY
from metaproxy.app.parts import Part
from metaproxy.config import model
from metaproxy.config.values import read_section

TEXT = """
runtime: {canary: 1}
secrets: {word: {value: hunter2}}
listeners:
  - {name: front, listen: "127.0.0.1:7000", protocol: thrift, routes: [{cluster: one}]}
  - {name: waits, listen: "127.0.0.1:7001", protocol: thrift, routes: {rds: {name: demo-routes, server: istiod}}}
clusters: [{name: one, endpoints: ["127.0.0.1:1"]}]
node: {id: n1}
xds: {name: istiod, server: "127.0.0.1:1"}
"""


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path, TEXT)


def cluster(stand: Stand, name: str, port: int = 1, **more: Any) -> model.Cluster:
    data = {"name": name, "endpoints": [f"127.0.0.1:{port}"], **more}
    section, problems = read_section(model.Cluster, data, stand.configuration.reading("istiod"))
    assert problems == []
    return present(section)


def listener(stand: Stand, name: str, port: int, to: str, **more: Any) -> model.Listener:
    data = {
        "name": name, "listen": f"127.0.0.1:{port}", "protocol": "thrift", "routes": [{"name": "r", "cluster": to}],
        **more,
    }  # fmt: skip
    section, problems = read_section(model.Listener, data, stand.configuration.reading("istiod"))
    assert problems == []
    return present(section)


def part(stand: Stand, name: str = "mesh", port: int = 7002) -> Part:
    return Part((listener(stand, name, port, name),), (cluster(stand, name),))


def listeners(stand: Stand) -> list[str]:
    return sorted(stand.proxy.listeners)


def test_a_part_is_in_force_beside_the_file(stand: Stand) -> None:
    assert stand.configuration.contribute("istiod", part(stand)) == []
    assert listeners(stand) == ["front", "mesh", "waits"]
    assert sorted(stand.snapshot.clusters) == ["mesh", "one"]
    assert [one.name for one in stand.configuration.config.clusters] == ["one", "mesh"]


def test_a_source_replaces_what_it_contributed_and_no_other(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    stand.configuration.contribute("aeraki", part(stand, "more", 7003))
    assert stand.configuration.contribute("istiod", part(stand, "other", 7002)) == []
    assert listeners(stand) == ["front", "more", "other", "waits"]


def test_what_is_withdrawn_is_gone_and_nothing_else(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    stand.configuration.contribute("aeraki", part(stand, "more", 7003))
    assert stand.configuration.withdraw("istiod") == []
    assert listeners(stand) == ["front", "more", "waits"]
    version = stand.snapshot.version
    assert stand.configuration.withdraw("istiod") == []
    assert stand.snapshot.version == version


def test_a_part_of_a_source_that_is_still_needed_can_not_be_withdrawn(stand: Stand) -> None:
    stand.configuration.contribute("cds", Part((), (cluster(stand, "mesh"),)))
    stand.configuration.contribute("lds", Part((listener(stand, "mesh", 7002, "mesh"),)))
    (line,) = stand.configuration.withdraw("cds")
    assert line == "cds: listeners['mesh'].routes[0]: no cluster 'mesh'; there is one; listeners['mesh'] is of lds"
    assert "mesh" in stand.snapshot.clusters


def test_a_cluster_that_a_filter_of_another_source_asks_can_not_be_withdrawn(stand: Stand) -> None:
    stand.configuration.contribute("cds", Part((), (cluster(stand, "limits"),)))
    asks = [
        {
            "global_rate_limit": {
                "domain": "d",
                "descriptors": [{"property": "method", "descriptor_key": "m"}],
                "service": {"cluster": "limits"},
            }
        }
    ]
    assert stand.configuration.contribute("lds", Part((listener(stand, "mesh", 7002, "one", filters=asks),))) == []
    (line,) = stand.configuration.withdraw("cds")
    assert line == "cds: listeners['mesh'].filters: no cluster 'limits'; there is one; listeners['mesh'] is of lds"


def test_a_filter_that_asks_a_cluster_that_nobody_has_refuses_a_part(stand: Stand) -> None:
    asks = [
        {
            "global_rate_limit": {
                "domain": "d",
                "descriptors": [{"property": "method", "descriptor_key": "m"}],
                "service": {"cluster": "onee"},
            }
        }
    ]
    (line,) = stand.configuration.contribute("lds", Part((listener(stand, "mesh", 7002, "one", filters=asks),)))
    assert line == "lds: listeners['mesh'].filters: no cluster 'onee'; did you mean 'one'?"


def test_two_listeners_of_different_sources_can_not_have_one_address(stand: Stand) -> None:
    taken = "127.0.0.1:7000 is taken already, by 'front' of {}; give one of both another address"
    (line,) = stand.configuration.contribute("istiod", Part((listener(stand, "mesh", 7000, "one"),)))
    assert line == "istiod: listeners['mesh']: of istiod; " + taken.format(stand.file)
    stand.configuration.contribute("istiod", part(stand))
    (line,) = stand.configuration.contribute("aeraki", Part((listener(stand, "other", 7002, "one"),)))
    assert "127.0.0.1:7002 is taken already, by 'mesh' of istiod" in line
    same = Part((listener(stand, "a", 7005, "one"), listener(stand, "b", 7005, "one")))
    (line,) = stand.configuration.contribute("aeraki", same)
    assert "listeners['b']" in line and "by 'a' of aeraki" in line
    assert listeners(stand) == ["front", "mesh", "waits"]


def test_a_port_that_the_system_finds_is_another_each_time(stand: Stand) -> None:
    free = Part((listener(stand, "a", 0, "one"), listener(stand, "b", 0, "one")))
    assert stand.configuration.contribute("istiod", free) == []


def test_a_file_that_takes_the_address_of_a_part_is_refused_with_both_named(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    stand.write(TEXT.replace("127.0.0.1:7000", "127.0.0.1:7002"))
    (line,) = stand.configuration.reload()
    assert "listeners['mesh']: of istiod" in line and f"by 'front' of {stand.file}" in line


@pytest.mark.parametrize(
    ("name", "to", "line"),
    [
        ("front", "one", "istiod: listeners['front']: of istiod; {file} has one of this name, too; rename one"),
        ("mesh", "two", "istiod: listeners['mesh'].routes[0]: no cluster 'two'; there is mesh, one"),
    ],
    ids=["a name that the file has", "a cluster that nobody has"],
)
def test_a_part_that_is_refused_leaves_the_one_before_in_force(stand: Stand, name: str, to: str, line: str) -> None:
    stand.configuration.contribute("istiod", part(stand))
    before, reloads = stand.snapshot, stand.configuration.reloads["applied"]
    wrong = Part((listener(stand, name, 7002, to),), (cluster(stand, "mesh"),))
    assert stand.configuration.contribute("istiod", wrong) == [line.format(file=stand.file)]
    assert stand.snapshot is before
    assert stand.configuration.reloads == {"applied": reloads, "refused": 1}
    assert present(stand.configuration.refused)["source"] == "istiod"
    assert stand.configuration.reload() == []
    assert listeners(stand) == ["front", "mesh", "waits"]


def test_two_sources_can_not_have_one_name(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    assert stand.configuration.contribute("aeraki", Part((), (cluster(stand, "mesh"),))) == [
        "aeraki: clusters['mesh']: of aeraki; istiod has one of this name, too; rename one"
    ]


def test_an_address_that_can_not_be_had_refuses_a_part(stand: Stand) -> None:
    stand.network.taken = {7002}
    (line,) = stand.configuration.contribute("istiod", part(stand))
    assert "istiod: " in line and "Address already in use" in line
    assert listeners(stand) == ["front", "waits"]


def test_a_part_comes_after_a_configuration_and_not_before(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "listeners: 5")
    assert stand.configuration.contribute("istiod", Part()) == [
        "istiod: no configuration is in force that it could be added to"
    ]


# -- the file and the admin API go on to work


def test_a_file_that_is_read_again_keeps_the_parts_and_may_refer_to_them(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    mesh = stand.snapshot.clusters["mesh"]
    stand.write(TEXT.replace("cluster: one", "cluster: mesh"))
    assert stand.configuration.reload() == []
    assert stand.snapshot.clusters["mesh"] is mesh
    assert listeners(stand) == ["front", "mesh", "waits"]
    (line,) = stand.configuration.withdraw("istiod")
    assert line.startswith("istiod: listeners['front'].routes[0]: no cluster 'mesh'")


def test_a_file_with_a_name_of_a_part_is_refused(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    stand.write(TEXT.replace("name: one", "name: mesh").replace("cluster: one", "cluster: mesh"))
    assert stand.configuration.reload() == [
        f"{stand.file}: clusters['mesh']: of istiod; {stand.file} has one of this name, too; rename one"
    ]
    assert sorted(stand.snapshot.clusters) == ["mesh", "one"]


def test_a_text_of_the_admin_api_takes_the_place_of_the_file_and_of_no_part(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    assert stand.configuration.put_text(TEXT.replace("name: front", "name: back"), "body") == []
    assert listeners(stand) == ["back", "mesh", "waits"]
    assert stand.configuration.config.source == "body"


def test_what_a_text_would_change_is_looked_for_in_the_file_alone(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    problems, changes = stand.configuration.check(TEXT.replace("name: front", "name: back"))
    assert problems == []
    assert present(changes)["listeners"] == {"added": ["back"], "changed": [], "removed": ["front"]}


def test_a_live_value_is_changed_and_the_parts_stay(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    assert stand.configuration.set_live("canary", 2) == []
    assert "mesh" in listeners(stand)


def test_a_changed_file_is_noticed_and_the_parts_stay(stand: Stand) -> None:
    stand.configuration.startService()
    stand.configuration.contribute("istiod", part(stand))
    version = stand.snapshot.version
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.version == version
    stand.write(TEXT.replace("7000", "7005"))
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.proxy.listeners["front"].bound() == ["127.0.0.1:7005"]
    assert "mesh" in listeners(stand)
    stand.configuration.stopService()


def test_what_is_shown_has_the_parts(stand: Stand) -> None:
    stand.configuration.contribute("istiod", part(stand))
    shown: Any = stand.configuration.dump()
    assert [one["name"] for one in shown["listeners"]] == ["front", "waits", "mesh"]
    assert shown["listeners"][1]["routes"] == {"rds": {"name": "demo-routes", "server": "istiod"}}


def test_sections_of_a_source_are_read_with_the_secrets_of_the_file(stand: Stand) -> None:
    found = cluster(stand, "mesh", credentials={"password": {"secret": "word"}})
    assert found.credentials == {"password": "hunter2"}


# -- what was refused


def test_a_refused_file_is_shown_until_a_file_is_applied_whatever_parts_come_meanwhile(stand: Stand) -> None:
    stand.write("listeners: 5")
    assert stand.configuration.reload() != []
    assert stand.configuration.contribute("istiod", part(stand)) == []
    assert present(stand.configuration.refused)["source"] == str(stand.file)
    stand.write(TEXT)
    assert stand.configuration.reload() == []
    assert stand.configuration.refused is None


def test_a_refused_part_is_shown_until_its_source_has_a_better_one_or_none(stand: Stand) -> None:
    wrong = Part((listener(stand, "mesh", 7002, "nowhere"),))
    for better in (Part(), None):
        stand.configuration.contribute("istiod", wrong)
        stand.write(TEXT + "# again\n")
        assert stand.configuration.reload() == []
        assert present(stand.configuration.refused)["source"] == "istiod"
        if better is None:
            stand.configuration.withdraw("istiod")
        else:
            stand.configuration.contribute("istiod", better)
        assert stand.configuration.refused is None


# -- listeners that wait for routes


def test_a_listener_that_waits_for_routes_is_replaced_by_one_of_a_part_and_keeps_its_socket(stand: Stand) -> None:
    waits = stand.proxy.listeners["waits"]
    assert len(waits.snapshot.routes.routes) == 0
    with_routes = listener(stand, "waits", 7001, "one")
    assert stand.configuration.contribute("istiod", Part((with_routes,))) == []
    assert stand.proxy.listeners["waits"] is waits
    assert [route.name for route in stand.snapshot.listeners["waits"].routes.routes] == ["r"]
    assert [one.name for one in stand.configuration.config.listeners] == ["front", "waits"]
    assert stand.configuration.withdraw("istiod") == []
    assert len(waits.snapshot.routes.routes) == 0


def test_two_sources_can_not_give_routes_to_one_listener(stand: Stand) -> None:
    stand.configuration.contribute("istiod", Part((listener(stand, "waits", 7001, "one"),)))
    assert stand.configuration.contribute("aeraki", Part((listener(stand, "waits", 7001, "one"),))) == [
        "aeraki: listeners['waits']: of aeraki; istiod has one of this name, too; rename one"
    ]


def test_a_listener_that_asks_for_spans_where_none_are_sent_is_in_force_without(stand: Stand) -> None:
    """istiod's HTTP listeners do; the whole part would be refused."""
    traced = listener(stand, "traced", 7005, "one", tracing={"sampling": 5})
    assert stand.configuration.contribute("istiod", Part((traced,), ())) == []
    assert "traced" in stand.proxy.listeners


def test_a_cluster_of_a_part_takes_the_place_of_one_that_has_a_name_alone(tmp_path: Path) -> None:
    text = TEXT.replace("clusters: [", "clusters: [{name: later, endpoints: []}, ")
    stand = Stand(tmp_path, text)
    assert stand.configuration.contribute("istiod", Part((), (cluster(stand, "later", 7),))) == []
    assert [one.address for one in stand.configuration.config.clusters[-1].endpoints] == ["127.0.0.1:7"]
    assert sorted(one.name for one in stand.configuration.config.clusters) == ["later", "one"]
    assert stand.configuration.withdraw("istiod") == []
    assert [(one.name, len(one.endpoints)) for one in stand.configuration.config.clusters] == [("later", 0), ("one", 1)]
    (line,) = stand.configuration.contribute("istiod", Part((), (cluster(stand, "one"),)))
    assert "rename one" in line
