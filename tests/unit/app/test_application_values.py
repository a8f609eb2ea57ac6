"""A configuration that is a value, as other sources than texts give it, is put in force by the one entrance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stand import Stand

from metaproxy.app.application import LOOK_EVERY
from metaproxy.config import model
from metaproxy.config.schema.reading import Use

TEXT = """
listeners: [{name: front, listen: "127.0.0.1:7000", protocol: thrift, routes: [{cluster: one}]}]
clusters: [{name: one, endpoints: ["127.0.0.1:1"]}]
"""


def config(port: int = 7001, cluster: str = "one", protocol: str = "thrift", **more: Any) -> model.Config:
    route = model.Route(cluster=cluster)
    listener = model.Listener(
        name="front",
        listen=(f"127.0.0.1:{port}",),
        protocol=Use(protocol),
        routes=(route,),
        **more,
    )
    one = model.Cluster(name="one", endpoints=(model.Endpoint(address="127.0.0.1:1"),))
    return model.Config(listeners=(listener,), clusters=(one,))


def look(stand: Stand) -> None:
    """Let the application look at its files, and what it does then come to its end."""
    stand.network.clock.advance(LOOK_EVERY)
    while stand.configuration.slices.busy:
        stand.network.clock.advance(0)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path, TEXT)


def test_a_value_is_put_in_force_without_any_text(stand: Stand) -> None:
    assert stand.configuration.apply(config(), "xds") == []
    assert stand.proxy.listeners["front"].bound() == ["127.0.0.1:7001"]
    assert stand.configuration.config == config()
    assert stand.snapshot.source == stand.configuration.config.source == "xds"
    assert stand.configuration.text == ""
    assert stand.configuration.reloads == {"applied": 2, "refused": 0}


def test_a_value_can_be_the_first_configuration(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "listeners: 5")
    assert stand.errors
    assert stand.configuration.apply(config(), "xds") == []
    assert stand.snapshot.version == 1
    assert stand.configuration.refused is None


def test_what_a_value_leaves_as_it_was_keeps_its_connections_and_counts(stand: Stand) -> None:
    before = stand.snapshot.clusters["one"]
    assert stand.configuration.apply(config(), "xds") == []
    assert stand.snapshot.clusters["one"] is before


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (config(cluster="oen"), "xds: listeners['front'].routes[0]: no cluster 'oen'; did you mean 'one'?"),
        (config(protocol="thrfit"), "xds: listeners['front'].protocol: no codec 'thrfit'; did you mean 'thrift'?"),
        (
            config(filters=(Use("local_rate_limit", {"limt": 5}),)),
            "xds: listeners['front'].filters[0].local_rate_limit",
        ),
        (config(tracing=model.ListenerTracing()), "xds: listeners['front'].tracing: nothing says where spans go"),
    ],
    ids=["a cluster that is not there", "a protocol that is not there", "an option that is not there", "a rule"],
)
def test_a_value_that_is_wrong_is_refused_with_its_place_and_the_one_before_stays_in_force(
    stand: Stand, wrong: model.Config, line: str
) -> None:
    before = stand.snapshot
    (error, *_) = stand.configuration.apply(wrong, "xds")
    assert error.startswith(line)
    assert stand.snapshot is before
    assert stand.configuration.config.source == str(stand.file)
    refused = stand.configuration.refused
    assert refused is not None and (refused["source"], refused["errors"][0]) == ("xds", error)
    assert stand.configuration.reloads == {"applied": 1, "refused": 1}


def test_a_value_whose_address_is_taken_is_refused_and_the_one_before_stays_in_force(stand: Stand) -> None:
    stand.network.taken = {7001}
    before = stand.snapshot
    (error,) = stand.configuration.apply(config(), "xds")
    assert error.startswith("xds: ") and "Address already in use" in error
    assert stand.snapshot is before


def test_the_file_takes_over_again_when_it_changes_and_not_before(stand: Stand) -> None:
    stand.configuration.startService()
    stand.configuration.apply(config(), "xds")
    look(stand)
    assert stand.snapshot.source == "xds"
    stand.write(TEXT.replace("7000", "7002"))
    look(stand)
    assert stand.proxy.listeners["front"].bound() == ["127.0.0.1:7002"]
    stand.configuration.stopService()


def test_a_file_that_a_value_refers_to_is_read_again_when_it_changes(stand: Stand, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a")
    stand.configuration.startService()
    value = replace(config(), secrets={"word": model.SecretSource(file=secret)})
    assert stand.configuration.apply(value, "xds") == []
    version = stand.snapshot.version
    secret.write_text("longer")
    look(stand)
    assert (stand.snapshot.version, stand.snapshot.source) == (version + 1, "xds")
    stand.configuration.stopService()


def test_a_live_value_of_a_configuration_that_is_a_value_is_changed_where_it_comes_from(stand: Stand) -> None:
    value = replace(config(), runtime={"canary": 5})
    assert stand.configuration.apply(value, "xds") == []
    assert stand.configuration.defaults == {"canary": 5}
    assert stand.configuration.set_live("canary", 6) == [
        "the configuration comes from xds, as values: change canary there"
    ]
    assert stand.configuration.config.runtime == {"canary": 5}


def test_every_source_ends_in_the_one_entrance(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    apply = stand.configuration.apply

    def noted(config: model.Config, source: Any) -> list[str]:
        names.append(getattr(source, "name", source))
        return apply(config, source)

    monkeypatch.setattr(stand.configuration, "apply", noted)
    stand.configuration.reload()
    stand.configuration.put_text("runtime: {canary: 1}\n" + TEXT, "body")
    stand.configuration.set_live("canary", 2)
    stand.configuration.apply(config(), "xds")
    assert names == [str(stand.file), "body", "body", "xds"]
