"""The arrows between rooms, read from the imports; and that each module has its tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "metaproxy"

LAYERS: list[set[str]] = [
    {"__version__"},
    {"support"},
    {"message", "units", "counts", "clients"},
    {"wire"},  # what is written may be a message's frame with another beginning
    {"interfaces", "options", "kubernetes"},
    {"plugins", "comparison"},
    {"routing"},  # filters ask the same conditions as routes
    {"filters", "balancers", "codecs", "discovery"},
    {"cluster"},  # a cluster hashes as its balancers do: balancers.hashing
    {"proxy", "telemetry"},
    {"app.service", "recording"},
    {"config"},  # an access log's format and a listener's address are checked by who will read them
    {"envoy"},  # reads files as the configuration's own are read, and gives what the configuration reads
    {"admin", "xds", "mesh"},
    {"workers"},  # of the supervisor and of a worker: both have an admin API
    {"app"},  # puts the process together, so that its `service` need know neither files nor the admin API
    {"tap", "cli", "control"},
]
"""From the ground up. A room may import those of lower layers, and nothing of its own layer but itself."""

ASIDE = {"testing", "__main__"}
"""For plugin authors and for the command line: nothing imports them, and they may import anything below `tap`."""

ALLOWED: dict[str, set[str]] = {
    "message": set(),
    "units": set(),
    "counts": set(),
    "clients": {"support"},
    "interfaces": {"message"},
    "codecs": {"message", "interfaces", "units", "support"},
    "routing": {"message", "counts", "interfaces", "units", "support"},
}
"""Rooms that may import less than their layer allows. Codecs and routing are to run bare, without plugins."""

BESIDE = {"metaproxy.filters.transcode": "codecs"}
"""Packages that may import another room of their own layer: who translates between two protocols knows both."""

NO_TWISTED = ("codecs", "routing", "balancers", "message", "units", "counts")
"""Rooms that import nothing of Twisted. `interfaces` names its Deferred for type checkers only."""

REACTOR_ROOMS = {
    "clients",
    "kubernetes",
    "proxy",
    "discovery",
    "xds",
    "admin",
    "app.service",
    "app",
    "tap",
    "telemetry",
    "config",
    "recording",
    "workers",
    "cli",
    "control",
}
"""Rooms that may import twisted.internet when they run; telemetry has a thread write, config needs a Clock to check."""


class Import(NamedTuple):
    """module: who imports; name: the dotted name that is imported; runtime: not for type checkers only."""

    module: str
    name: str
    runtime: bool


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def statements(body: Iterable[ast.stmt], runtime: bool = True) -> Iterator[tuple[ast.stmt, bool]]:
    """Each statement however deep, and whether it runs: what stands under TYPE_CHECKING does not."""
    for node in body:
        yield node, runtime
        typing_only = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        yield from statements(getattr(node, "body", ()), runtime and not typing_only)
        for name in ("orelse", "finalbody"):
            yield from statements(getattr(node, name, ()), runtime)
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from statements(part.body, runtime)


def imports_of(path: Path) -> Iterator[Import]:
    module = module_name(path)
    for node, runtime in statements(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, runtime) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import in line {node.lineno} hides which room it means"
            yield from (Import(module, f"{node.module}.{alias.name}", runtime) for alias in node.names)


def room(name: str) -> str:
    """The room of a dotted name: metaproxy.codecs.dubbo.frame -> codecs."""
    parts = name.split(".")[1:]
    return "app.service" if parts[:2] == ["app", "service"] else parts[0] if parts else ""


SOURCES = sorted(SOURCE.rglob("*.py"))
ROOMS = {room(module_name(path)) for path in SOURCES} - {""}
HEIGHT = {name: height for height, layer in enumerate((*LAYERS, ("",))) for name in layer}
"""The package itself is above all: with it it is settled which of two paths the others take."""


@cache
def all_imports() -> list[Import]:
    """Return every import there is. Not a constant: where the tests run in several processes, each reads this file."""
    return [one for path in SOURCES for one in imports_of(path)]


@cache
def own_imports() -> list[Import]:
    """Return the imports of one module of ours by another."""
    return [one for one in all_imports() if one.name.split(".")[0] == "metaproxy"]


def test_every_room_has_its_place() -> None:
    assert HEIGHT.keys() | ASIDE >= ROOMS


def test_arrows_point_down() -> None:
    wrong = [
        f"{one.module} imports {one.name}"
        for one in own_imports()
        if (own := room(one.module)) not in ASIDE
        and (other := room(one.name)) != own
        and BESIDE.get(".".join(one.module.split(".")[:3])) != other
        and (other in ASIDE or HEIGHT[other] >= HEIGHT[own])
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ALLOWED)
def test_a_room_that_is_to_run_bare_imports_nothing_else(name: str) -> None:
    used = {room(one.name) for one in own_imports() if room(one.module) == name} - {name}
    assert used <= ALLOWED[name]


def test_codecs_and_what_decides_import_nothing_of_twisted() -> None:
    wrong = [
        f"{one.module} imports {one.name}"
        for one in all_imports()
        if one.name.split(".")[0] == "twisted" and room(one.module) in NO_TWISTED and one.runtime
    ]
    assert wrong == []


def test_only_rooms_that_have_sockets_files_or_timers_import_the_reactors_package() -> None:
    wrong = [
        f"{one.module} imports {one.name}"
        for one in all_imports()
        if one.name.startswith("twisted.internet")
        and one.runtime
        and room(one.module) not in REACTOR_ROOMS | ASIDE
        and not one.name.startswith("twisted.internet.interfaces")  # to say what a clock is
        and not one.name.startswith("twisted.internet.defer")  # a filter may wait, for whatever has a reactor
    ]
    assert wrong == []


def test_the_reactor_itself_is_imported_where_the_process_is_put_together_and_nowhere_else() -> None:
    importers = {one.module for one in all_imports() if one.name == "twisted.internet.reactor"}
    assert importers <= {
        "metaproxy.app.start",
        "metaproxy.app.worker_process",
        "metaproxy.cli.replay",
        "metaproxy.control.start",
    }


@pytest.mark.parametrize(
    "name",
    ["proxy", "cluster", "routing", "balancers", "app", "app.service", "admin", "telemetry", "recording", "comparison",
     "support", "tap", "testing"],
)  # fmt: skip
def test_no_codec_is_known_by_name(name: str) -> None:
    codecs = {path.stem for path in (SOURCE / "codecs").iterdir() if not path.name.startswith("_")} - {"framing"}
    assert codecs >= {"dubbo", "thrift"}
    paths = [path for path in SOURCES if room(module_name(path)) == name]
    assert paths
    importing = {one.module for one in own_imports() if room(one.name) == "codecs"}
    for path in paths:
        assert module_name(path) not in importing
        assert codecs.isdisjoint(re.findall(r"""["'](\w+)["']""", path.read_text())), path


SHARED = (
    "_cut",
    "cancel_keys",
    "cutters",
    "framing",
    "login_time",
    "protobuf_wire",
    "scram",
    "sent_pairs",
    "session_fields",
    "shapes",
    "sql",
    "stream_flow",
)
"""Modules of the codecs' room that belong to no protocol."""

BUILT_ON = {"grpc": "http"}
"""Protocols that are carried by another one."""


def test_codecs_do_not_import_each_other() -> None:
    def protocol(name: str) -> str:
        return name.split(".")[2] if name.count(".") > 1 else ""

    wrong = [
        f"{one.module} imports {one.name}"
        for one in own_imports()
        if room(one.module) == room(one.name) == "codecs"
        and protocol(one.name) not in (own := protocol(one.module), BUILT_ON.get(own), *SHARED)
    ]
    assert wrong == []


def test_nothing_is_called_by_a_word_that_says_nothing() -> None:
    words = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
    assert [str(path) for path in SOURCES if path.stem in words] == []


# -- tests/unit mirrors metaproxy

EXCEPTIONS: dict[str, str] = {
    "metaproxy.proxy.connection": "test_transport.py shows it over real sockets",
    "metaproxy.envoy.extensions.istio": "test_extensions_listener_filters.py shows it",
    "metaproxy.proxy.undecided": "what test_detection.py and test_chain_choice.py have in common",
    "metaproxy.proxy.exchange_facts": "what an exchange is asked; test_exchange.py asks it",
    "metaproxy.discovery.etcd_rounds": "test_etcd.py and test_sources_etcd.py, which keep what it finds",
    "metaproxy.telemetry.roles": "holds no behaviour: what telemetry reads of the proxy",
    "metaproxy.cli.rollouts": "test_cli_fleet.py asks the same control plane",
    "metaproxy.cli.answers": "holds no behaviour: the shapes of what the admin API answers",
    "metaproxy.__main__": "starts twistd, as test_tap.py shows in a process of its own",
    "metaproxy.interfaces": "holds no behaviour; test_testing.py checks what keeps it",
    "metaproxy.proxy.socket_protocol": "holds no behaviour: what sockets and turns call",
    "metaproxy.proxy.current": "holds no behaviour: what the path reads of a listener and its snapshot",
    "metaproxy.proxy.roles": "holds no behaviour: what the parts of the data path are to each other",
    "metaproxy.cluster.roles": "holds no behaviour, as above",
    "metaproxy.cluster.routes": "holds no behaviour: names of types",
    "metaproxy.admin.envoy_clusters": "test_admin_xds.py",
    "metaproxy.xds.counts": "holds no behaviour; test_xds_session.py reads it",
    "metaproxy.xds.enforcement": "a part of the source: test_xds_source.py",
    "metaproxy.xds.reach": "test_xds_server.py, which has servers to reach",
    "metaproxy.xds.status": "test_xds_dump.py: the same in our form",
    "metaproxy.xds.translate": "a part of the source: test_xds_source.py",
    "metaproxy.wire": "holds no behaviour, as above",
    "metaproxy.filters.transcode.thrift_types": "holds no behaviour, as above",
    "metaproxy.admin.site": "test_resource.py asks it for more than it takes",
    "metaproxy.control.admin.fleet": "test_control_admin_service.py asks each endpoint of the room",
    "metaproxy.control.admin.metrics": "as above",
    "metaproxy.control.admin.of_fleet": "as above",
    "metaproxy.control.admin.page": "as above",
    "metaproxy.control.admin.rollouts": "as above",
    "metaproxy.control.admin.shown": "as above",
    "metaproxy.control.polling": "test_control_rest.py, which asks over HTTP",
    "metaproxy.control.sources.roles": "holds no behaviour: what sources are to the control plane",
    "metaproxy.envoy.own_messages": "test_control_carried.py, where what carries them is made, reads them too",
    "metaproxy.envoy.own_sections": "as above",
    "metaproxy.envoy.extensions.own_sections": "as above",
    "metaproxy.admin.roles": "holds no behaviour: what the application is to the admin API",
    "metaproxy.config.sections.cluster": "keys alone, as those of its neighbours: test_model.py checks each of them",
    "metaproxy.config.sections.listener": "keys, as above",
    "metaproxy.config.sections.rds": "keys; test_values.py reads them, test_parts.py gives the routes",
    "metaproxy.config.sections.process": "keys, as above",
    "metaproxy.config.sections.route": "keys, as above",
    "metaproxy.config.sections.telemetry": "keys, as above",
    "metaproxy.config.sections.transport": "keys, as above",
    "metaproxy.config.build_cluster": "test_build.py and test_build_kept.py build clusters and listeners together",
    "metaproxy.config.build_listener": "as above",
    "metaproxy.config.build_shared": "as above",
    "metaproxy.config.sections.xds": "keys, as above; test_rules_xds.py",
    "metaproxy.config.rules.every": "a list; test_check.py and the tests of each rule miss what it does not have",
    "metaproxy.app.difference": "names alone; test_application.py asks for a difference, test_difference.py finds it",
    "metaproxy.app.mesh": "test_crds.py, which has it look",
    "metaproxy.config.sections.crds": "keys alone, as those of its neighbours",
    "metaproxy.mesh.generator": "a package: tests/unit/mesh/generator",
    "metaproxy.mesh.objects.destination_rule": "keys, as above; test_service_entry.py has its checks",
    "metaproxy.mesh.objects.virtual_service": "keys, as above; test_service_entry.py has its checks",
    "metaproxy.mesh.objects.dubbo_authorization": "keys, as above",
    "metaproxy.mesh.objects.gateway": "keys, as above",
    "metaproxy.mesh.objects.kubernetes": "keys, as above",
    "metaproxy.mesh.objects.kinds": "test_objects_reading.py reads objects of each",
    "metaproxy.mesh.objects.struct": "test_objects_reading.py reads objects that are made of it",
    "metaproxy.config.rules.certificates": "test_tls_sections.py, which has an authority",
    "metaproxy.envoy.translated": "holds no behaviour: what a translator gives",
    "metaproxy.balancers.turns": "test_round_robin.py, which is derived from it",
    "metaproxy.filters.rate_limit.common_case": "test_rate_limit_local.py: the first step of that filter",
    "metaproxy.codecs.cutters": "tests/property/test_cutters.py, where they are compiled",
    "metaproxy.codecs.session_fields": "test_redis.py, test_thrift.py, test_dubbo.py: bases of their sessions",
    "metaproxy.codecs.framing": "each codec's tests, and test_docs.py",
    "metaproxy.codecs.dubbo": "a package: test_dubbo.py and its neighbours",
    "metaproxy.codecs.thrift": "a package: test_thrift.py and its neighbours",
    "metaproxy.codecs.mysql": "a package: test_mysql.py and its neighbours",
    "metaproxy.codecs.redis": "a package: test_redis.py and its neighbours",
}
"""Modules without a test file of their name, and where their tests are."""


def files_of_tests() -> set[tuple[str, str]]:
    """(room, test file) of each test file there is."""
    unit = Path(__file__).parent
    return {(".".join(path.parent.relative_to(unit).parts), path.stem) for path in unit.rglob("test_*.py")}


def has_tests(module: str, found: set[tuple[str, str]]) -> bool:
    """By its name, its folder's or room's too where that is taken (pytest wants each once), or with more behind."""
    *parents, name = module.rstrip("_").split(".")[1:]
    folder = ".".join(parents)
    own = {f"test_{name}", f"test_{'_'.join(parents)}_{name}", f"test_{(parents or [name])[-1]}_{name}"}
    return any(
        where == folder and (file in own or file.startswith((*(f"{one}_" for one in own),))) for where, file in found
    )


def tested_modules() -> list[str]:
    """Modules; a codec's package counts as one, and so does `testing`, whose names are imported from its top."""
    names = set()
    for path in SOURCES:
        if path.name == "__init__.py":
            continue
        parts = module_name(path).split(".")
        whole = (
            3 if parts[1] == "codecs" or parts[1:3] == ["mesh", "generator"] else 2 if parts[1] == "testing" else None
        )
        names.add(".".join(parts[:whole]))
    return sorted(names)


def test_each_module_has_its_tests() -> None:
    found = files_of_tests()
    assert [one for one in tested_modules() if one not in EXCEPTIONS and not has_tests(one, found)] == []


def test_each_test_file_has_a_name_of_its_own() -> None:
    """Two of one name stop the whole run of pytest, and no run of a part of the tests shows it."""
    tests = Path(__file__).parents[1]
    names = [path.name for folder in ("unit", "property") for path in (tests / folder).rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


# -- tests look from outside, and stand alone

NAMEDTUPLE = {"_asdict", "_fields", "_replace"}


def sources_of_tests() -> Iterator[tuple[str, str]]:
    """Each file of tests, by its path in `tests`, with its text."""
    tests = Path(__file__).parents[1]
    for folder in ("unit", "property", "shared"):
        for path in sorted((tests / folder).rglob("*.py")):
            yield str(path.relative_to(tests)), path.read_text()


def touched(text: str) -> set[str]:
    """Names with an underscore that belong to another object or module than the one that asks."""
    if not re.search(r"\._[a-z]|import .*\b_[a-z]", text, re.IGNORECASE):
        return set()
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            own = ast.unparse(node.value) in ("self", "cls", "super()")
            found |= set() if own or node.attr in NAMEDTUPLE else {node.attr}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def test_tests_touch_no_names_with_an_underscore() -> None:
    found = {file: touched(text) for file, text in sources_of_tests()}
    assert {file: names for file, names in found.items() if names} == {}


def test_a_name_with_an_underscore_is_found() -> None:
    assert touched("from a import _b\none.two._c = self._d\ncls._e, super()._f, one._replace(x=1), one.__f__") == {
        "_b",
        "_c",
    }


def test_no_test_imports_another() -> None:
    """What two share is in tests/shared."""
    imports = re.compile(r"^\s*(?:from|import) +(?:[\w.]+\.)?(test_\w+|conftest)\b", re.MULTILINE)
    assert {file: found for file, text in sources_of_tests() if (found := imports.findall(text))} == {}


def test_the_exceptions_exist() -> None:
    assert set(EXCEPTIONS) <= set(tested_modules())
    for name in ("dubbo", "thrift", "redis"):
        assert any(file.startswith(f"test_{name}") for _, file in files_of_tests())


# -- no circle, types included


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that import each other, directly or not."""
    reach = {module: set(found) for module, found in imports.items()}
    for middle in reach:
        for found in reach.values():
            if middle in found:
                found |= reach[middle]
    groups = {frozenset(other for other in reach[one] if one in reach[other]) for one in reach if one in reach[one]}
    return [set(group) for group in groups]


def test_no_modules_import_each_other_not_even_for_types() -> None:
    modules = {module_name(path) for path in SOURCES}
    imports: dict[str, set[str]] = {module: set() for module in modules}
    for one in own_imports():
        name = one.name if one.name in modules else one.name.rpartition(".")[0]
        # A package's own __init__ is how its modules are reached, and no import that anybody wrote.
        if name in modules and name != one.module and not one.module.startswith(f"{name}."):
            imports[one.module].add(name)
    assert circles(imports) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
