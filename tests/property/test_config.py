"""Whatever a configuration holds: it is accepted, or what is wrong with it is reported; nothing is ever raised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.config.difference import diff
from metaproxy.config.masking import as_data
from metaproxy.config.model import Admin, Breaker, Cluster, Config, Connections, Endpoint, Listener, Route
from metaproxy.config.schema.load import load
from metaproxy.config.schema.nodes import resolve
from metaproxy.config.schema.shape import Section, options
from metaproxy.plugins import Registry
from metaproxy.telemetry.access_log.filter import LogFiles

REGISTRY = Registry([Path(__file__).parents[1] / "unit" / "config" / "dropins"])
FOLDER = Path("/etc")

# -- right configurations

NAMES = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="$"), min_size=1, max_size=12
)
METADATA = st.dictionaries(
    NAMES, st.text(st.characters(codec="ascii", categories=["L", "N"])) | st.integers(), max_size=3
)
DURATIONS = st.sampled_from(["250ms", "2s", "5m", "1h", 3, 0.5, "15us"])
ADDRESSES = st.one_of(
    st.builds("{}:{}".format, st.sampled_from(["127.0.0.1", "demo.svc", "[::1]", "[fe80::1]"]), st.integers(1, 65535)),
    st.builds("unix:/run/{}.sock".format, st.integers(0, 99)),
)
CONDITIONS = st.one_of(
    st.text(st.characters(codec="ascii", categories=["L"]), min_size=1),
    st.fixed_dictionaries({"prefix": st.text(st.characters(codec="ascii", categories=["L"]), min_size=1)}),
    st.fixed_dictionaries({"present": st.booleans(), "not": st.booleans()}),
    st.just({"in": ["a", "b"]}),
)


def section(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping of the keys that were drawn; those that end in _ are always there."""
    always = {key.removesuffix("_"): value for key, value in keys.items() if key.endswith("_")}
    return st.fixed_dictionaries(always, optional={key: value for key, value in keys.items() if not key.endswith("_")})


@st.composite
def routes(draw: st.DrawFn, clusters: list[str]) -> dict[str, Any]:
    route: dict[str, Any] = draw(
        section(
            match=st.dictionaries(st.sampled_from(["method", "interface", "source.address"]), CONDITIONS, max_size=2),
            percent=st.integers(0, 100) | st.floats(0, 100),
            subset=METADATA.filter(bool),
            timeout=DURATIONS,
            hash=st.just("user") | st.just(["user", "interface"]),
            request=section(set=METADATA, remove=st.just(["debug"])),
            response=section(set=METADATA),
            filters=st.sampled_from([{"gate": "off"}, {"gate": {"wait": 1}}, {"local_rate_limit": {"limit": 5}}]),
        )
    )
    target = draw(st.sampled_from(["cluster", "clusters", "reply"]))
    if target == "cluster":
        route["cluster"] = draw(st.sampled_from(clusters))
    elif target == "clusters":
        route["clusters"] = {name: draw(st.integers(1, 100)) for name in clusters}
    else:
        route["reply"] = {"error": "not_found", "message": draw(NAMES)}
    return route


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    clusters = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    listeners = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    whole: dict[str, Any] = draw(
        section(
            admin=section(listen=st.just("127.0.0.1:9901"), insecure=st.booleans(), tokens=st.just({"write": "t"})),
            node=section(id=NAMES, zone=NAMES, metadata=METADATA),
            workers=st.just(1),
            secrets=st.just({"unused": {"value": "x"}}),
        )
    )
    whole["listeners"] = [
        draw(
            section(
                name_=st.just(name),
                listen_=st.just(f"127.0.0.1:{20880 + i}") | st.just([f"127.0.0.1:{20880 + i}", f"unix:/run/{i}"]),
                protocol_=st.just("dubbo") | st.just({"name": "dubbo", "depth": 3}),
                max_connections=st.integers(1, 10**6),
                max_frame=st.sampled_from(["64KiB", "16MiB", 1000]),
                idle_timeout=DURATIONS,
                stall_timeout=DURATIONS,
                filters_=st.just(["local_rate_limit", "gate"]).map(
                    lambda _: [{"local_rate_limit": {"limit": 10, "per": "1s"}}, {"gate": {"wait": "1s"}}]
                ),
                routes=st.lists(routes(clusters), max_size=3),
                access_log=st.just([{"file": "/dev/null", "format": "json"}]),
            )
        )
        for i, name in enumerate(listeners)
    ]
    whole["clusters"] = [
        draw(
            section(
                name_=st.just(name),
                endpoints_=st.lists(
                    ADDRESSES, max_size=3, unique=True
                ).map(lambda found: [found[0], *({"address": one, "weight": 2} for one in found[1:])] if found else []),
                balancer=st.sampled_from(["round_robin", {"name": "narrow", "most": 9}]),
                connect_timeout=st.just("1s"),
                request_timeout=DURATIONS,
                connections=section(mode=st.sampled_from(["multiplex", "pool"]), max_age=DURATIONS),
                credentials=st.just({"user": "app", "password": "p"}),
                breaker=section(max_connections=st.integers(1, 9), max_pending=st.integers(0, 9)),
            )
        )
        for name in clusters
    ]  # fmt: skip
    return whole


class Dumper(yaml.CSafeDumper):
    """PyYAML's, which does not quote texts that only this project reads as numbers, such as 0E0."""


Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if isinstance(resolve(text), str) else "'"
    ),
)


def dumped(whole: object, **how: Any) -> str:
    text: str = yaml.dump(whole, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=10**6, **how)
    return text


@given(configurations(), st.booleans())
def test_what_is_right_is_accepted(whole: dict[str, Any], flow: bool) -> None:
    config, problems = check(dumped(whole, default_flow_style=flow), "x.yaml", REGISTRY, {}, FOLDER)
    assert problems == []
    assert isinstance(config, Config)
    assert [one.name for one in config.listeners] == [one["name"] for one in whole["listeners"]]
    assert json.loads(json.dumps(as_data(config)))["clusters"][0]["name"] == whole["clusters"][0]["name"]
    assert diff(config, config) == (([], [], []), ([], [], []), [])


@given(configurations())
def test_what_is_accepted_can_be_built(whole: dict[str, Any]) -> None:
    for listener in whole["listeners"]:
        listener.pop("access_log", None)  # opens files
    config, _ = check(dumped(whole), "x.yaml", REGISTRY, {}, FOLDER)
    assert config is not None
    clock = Clock()
    snapshot = Builder(REGISTRY, clock, LogFiles(clock)).build(config)
    assert list(snapshot.listeners) == [one["name"] for one in whole["listeners"]]


# -- one key misspelt

WITHIN: dict[type[Section], dict[str, type[Section]]] = {
    Config: {"admin": Admin, "listeners": Listener, "clusters": Cluster},
    Listener: {"routes": Route},
    Cluster: {"endpoints": Endpoint, "connections": Connections, "breaker": Breaker},
}
SECTIONS: list[Any] = [Config, Admin, Listener, Route, Cluster, Endpoint, Connections, Breaker]


def mappings(value: Any, section: type[Section] = Config) -> list[tuple[type[Section], dict[str, Any]]]:
    """The sections in a configuration, and what is written in each."""
    if isinstance(value, list):
        return [found for item in value for found in mappings(item, section)]
    if not isinstance(value, dict):
        return []
    inner = WITHIN.get(section, {})
    return [(section, value), *(one for key in inner if key in value for one in mappings(value[key], inner[key]))]


@given(configurations(), st.data())
def test_a_misspelt_key_is_one_problem_in_its_line_with_the_right_key(
    whole: dict[str, Any], data: st.DataObject
) -> None:
    section, mapping = data.draw(st.sampled_from(mappings(whole)))
    assume(mapping)
    key = data.draw(st.sampled_from(list(mapping)))
    at = data.draw(st.integers(0, len(key) - 1))
    wrong = key[:at] + key[at] + key[at:]  # a letter twice
    assume(wrong not in options(section) and wrong not in section.LATER)
    items = [(wrong if name == key else name, value) for name, value in mapping.items()]
    mapping.clear()
    mapping.update(items)
    # The only key of its spelling: what stands for it in the text is found by it.
    text = dumped(whole, default_flow_style=False)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip(" -").startswith(f"{wrong}:")]
    assume(len(lines) == 1)
    config, problems = check(text, "x.yaml", REGISTRY, {}, FOLDER)
    assert config is None
    assert [problem.text for problem in problems] == [f"unknown key '{wrong}'; did you mean '{key}'?"]
    assert problems[0].line == lines[0]
    assert text.splitlines()[lines[0] - 1][problems[0].column - 1 :].startswith(wrong)


# -- anything

KEYS = sorted({name for section in SECTIONS for name in (*options(section), *section.LATER)})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["demo", "dubbo", "gate", "127.0.0.1:80", "unix:/x", "5s", "${HOME}", "${", "off", "round_robin"]),
    st.sampled_from([{"secret": "a"}, {"name": "dubbo"}, {"gate": {"wait": "1s"}}, {"name": "narrow", "most": 0}]),
)
ALMOST = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)


def holds(text: str | bytes) -> None:
    """What must hold of any text at all."""
    config, problems = check(text, "x.yaml", REGISTRY, {"HOME": "5"}, FOLDER)
    assert (config is None) == bool(problems)
    for problem in problems:
        assert problem.line >= 1 and problem.column >= 1 and problem.text
        assert str(problem).startswith(f"x.yaml:{problem.line}:{problem.column}: ")


@given(st.dictionaries(st.sampled_from(sorted(options(Config))), ALMOST, max_size=4) | ALMOST)
def test_anything_like_a_configuration_is_accepted_or_told_about(value: object) -> None:
    holds(dumped(value))


@given(configurations(), st.data())
def test_a_right_configuration_with_one_value_replaced_is_accepted_or_told_about(
    whole: dict[str, Any], data: st.DataObject
) -> None:
    _, mapping = data.draw(st.sampled_from(mappings(whole)))
    assume(mapping)
    mapping[data.draw(st.sampled_from(sorted(mapping)))] = data.draw(ALMOST)
    holds(dumped(whole))


YAML = st.lists(
    st.sampled_from(
        ["- ", ": ", "{", "}", "[", "]", ",", "\n", "  ", "&a ", "*a", "<<: ", "!t ", "!!str ", "'", '"', "|", ">", "%",
         "---", "...", "${A}", "${", "#", "?", "a", "listeners", "name", "5", "\t", "\\", "@", "`", "\0", "\ufeff"]
    )
    | st.text(max_size=3),
    max_size=40,
).map("".join)  # fmt: skip


@given(YAML | st.text() | st.binary())
@example("&a [*a]")
@example("&a {<<: *a}")
@example("- &a [x]\n- {<<: *a}")
@example("{<<: [[{a: b}]]}")
@example("%TAG ! tag:x,2000:\n---\n!y z")
@example("!!float x")
@example("a: |2\n x")
@example("? ? ? a")
def test_any_text_is_accepted_or_told_about(text: str | bytes) -> None:
    holds(text)


@given(ALMOST)
def test_a_tree_hangs_together_whatever_aliases_it_has(value: object) -> None:
    # What stands in several places is dumped once, with an anchor.
    root, _ = load(dumped([value, {"again": value}, [value]]), "x.yaml", {"HOME": "5"})
    assert root is not None
    seen = [root]
    for node in seen:
        if not isinstance(node.value, (list, dict)):
            continue
        steps = node.value.items() if isinstance(node.value, dict) else enumerate(node.value)
        for key, child in steps:
            assert child.parent is node and child.key == key
            assert child.path.startswith(node.path)
            seen.append(child)
    assert len({id(node) for node in seen}) == len(seen)
