"""Finding, loading, verifying and building plugins: the files are real, in folders of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import twisted.plugins
from metaproxy.codecs.framing import Codec
from metaproxy.interfaces import OPTIONAL, ICodec, IDiscovery, IFilter, ILoadBalancer, ISession
from metaproxy.plugins import (
    KINDS,
    Declaration,
    OptionError,
    PluginError,
    Registry,
    UnknownPlugin,
    convert,
    kind_of,
    verify,
)
from metaproxy.units import Bytes, Percent, Seconds

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CODEC = '''
from metaproxy.codecs.framing import Codec
from metaproxy.interfaces import ICodec
from metaproxy.plugins import Declaration

class Mine(Codec):
    """What it is.

    More of it."""

    name = "NAME"
    version = VERSION

mine = Declaration(ICodec, "NAME", Mine)
'''


def codec_file(name: str = "mine", version: int = 1) -> str:
    return CODEC.replace("NAME", name).replace("VERSION", str(version))


def version_of(codec: Any) -> int:
    return int(codec.version)


class Folder:
    """A drop-in folder and the registry that looks at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self.registry = Registry([path])

    def write(self, file: str, text: str) -> str:
        (self.path / file).write_text(text)
        return str(self.path / file)

    def version(self, name: str = "mine") -> int:
        return version_of(self.registry.load(ICodec, name))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "plugins")


# -- what metaproxy brings


def test_what_metaproxy_brings_is_found_without_importing_it() -> None:
    registry = Registry()
    assert {"dubbo", "thrift", "redis"} <= set(registry.names(ICodec))
    assert "local_rate_limit" in registry.names(IFilter)
    assert {"round_robin", "ring_hash"} <= set(registry.names(ILoadBalancer))
    assert registry.errors == {}


@pytest.mark.parametrize("interface", [ICodec, IFilter, ILoadBalancer], ids=kind_of)
def test_everything_that_metaproxy_brings_can_be_loaded(interface: Any) -> None:
    registry = Registry()
    for name in registry.names(interface):
        assert callable(registry.load(interface, name))


def test_a_name_that_nobody_has_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UnknownPlugin, match="no codec 'dubo'") as unknown:
        Registry().load(ICodec, "dubo")
    assert unknown.value.name == "dubo"
    assert "dubbo" in unknown.value.known


def test_each_interface_has_a_word() -> None:
    assert [kind_of(interface) for interface in (ICodec, IFilter, ILoadBalancer, IDiscovery)] == list(KINDS)


# -- drop-in files come, change and go


def test_a_file_that_is_added_is_found_at_the_next_look(folder: Folder) -> None:
    before = folder.registry.generation
    folder.write("mine.py", codec_file())
    assert folder.registry.refresh()
    assert folder.version() == 1
    assert folder.registry.generation == before + 1


def test_looking_again_at_what_did_not_change_changes_nothing(folder: Folder) -> None:
    folder.write("mine.py", codec_file())
    folder.registry.refresh()
    code, generation = folder.registry.load(ICodec, "mine"), folder.registry.generation
    assert not folder.registry.refresh()
    assert folder.registry.load(ICodec, "mine") is code
    assert folder.registry.generation == generation


def test_a_file_that_is_touched_but_says_the_same_is_not_loaded_again(folder: Folder) -> None:
    folder.write("mine.py", codec_file())
    folder.registry.refresh()
    code = folder.registry.load(ICodec, "mine")
    folder.write("mine.py", codec_file())
    assert not folder.registry.refresh()
    assert folder.registry.load(ICodec, "mine") is code


def test_a_file_that_changes_is_loaded_and_the_old_code_goes_on_for_who_has_it(folder: Folder) -> None:
    folder.write("mine.py", codec_file(version=1))
    folder.registry.refresh()
    old: Callable[[], Any] = folder.registry.load(ICodec, "mine")
    folder.write("mine.py", codec_file(version=2))
    assert folder.registry.refresh()
    assert folder.version() == 2
    assert old().version == 1


def test_a_file_that_goes_takes_its_plugins_with_it(folder: Folder) -> None:
    folder.write("mine.py", codec_file())
    folder.registry.refresh()
    (folder.path / "mine.py").unlink()
    assert folder.registry.refresh()
    assert "mine" not in folder.registry.names(ICodec)


def test_a_folder_that_is_not_there_yet_is_looked_at_when_it_is(tmp_path: Path) -> None:
    registry = Registry([tmp_path / "later"])
    assert not registry.refresh()
    Folder(tmp_path / "later").write("mine.py", codec_file())
    assert registry.refresh()
    assert "mine" in registry.names(ICodec)


def test_other_folders_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    one, other = Folder(tmp_path / "one"), Folder(tmp_path / "other")
    one.write("first.py", codec_file("first"))
    other.write("second.py", codec_file("second"))
    registry = Registry([one.path])
    assert registry.refresh([other.path])
    assert "second" in registry.names(ICodec)
    assert "first" not in registry.names(ICodec)


def test_files_that_are_no_python_are_left_alone(folder: Folder) -> None:
    folder.write("notes.txt", "not python")
    folder.write("mine.py~", "not python either")
    assert not folder.registry.refresh()
    assert folder.registry.errors == {}


# -- broken files


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("raise ZeroDivisionError('at import')\n", "ZeroDivisionError: at import"),
        ("import nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("VALUE = 1\n", "no Declaration at its top level"),
        ("\0", "null bytes"),
        ("# coding: nowhere\n", "nowhere"),
    ],
)
def test_a_broken_file_is_told_with_its_traceback_and_everything_else_goes_on(
    folder: Folder, text: str, told: str
) -> None:
    folder.write("mine.py", codec_file())
    broken = folder.write("broken.py", text)
    folder.registry.refresh()
    assert list(folder.registry.errors) == [broken]
    assert told in folder.registry.errors[broken]
    assert folder.version() == 1
    assert "dubbo" in folder.registry.names(ICodec)


def test_a_traceback_names_the_line_of_the_file(folder: Folder) -> None:
    broken = folder.write("broken.py", "first = 1\nsecond = first / 0\n")
    folder.registry.refresh()
    assert f'File "{broken}", line 2' in folder.registry.errors[broken]


def test_an_interrupt_at_import_is_no_fault_of_the_file(folder: Folder) -> None:
    folder.write("stop.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        folder.registry.refresh()


def test_a_file_that_breaks_leaves_what_it_said_before_in_force(folder: Folder) -> None:
    path = folder.write("mine.py", codec_file(version=1))
    folder.registry.refresh()
    folder.write("mine.py", "raise ValueError('half written')\n")
    assert folder.registry.refresh()
    assert folder.version() == 1
    assert "half written" in folder.registry.errors[path]


def test_a_file_that_is_mended_is_an_error_no_more(folder: Folder) -> None:
    folder.write("mine.py", "raise ValueError('half written')\n")
    folder.registry.refresh()
    folder.write("mine.py", codec_file(version=3))
    assert folder.registry.refresh()
    assert folder.registry.errors == {}
    assert folder.version() == 3


def test_a_broken_file_that_goes_is_an_error_no_more(folder: Folder) -> None:
    folder.write("mine.py", "raise ValueError('half written')\n")
    folder.registry.refresh()
    (folder.path / "mine.py").unlink()
    folder.registry.refresh()
    assert folder.registry.errors == {}


def test_a_broken_file_is_told_once_and_not_at_each_look(folder: Folder) -> None:
    folder.write("mine.py", "raise ValueError('half written')\n")
    assert folder.registry.refresh()
    assert not folder.registry.refresh()


def test_a_broken_module_is_left_in_no_table_of_modules(folder: Folder) -> None:
    before = set(sys.modules)
    folder.write("mine.py", "raise ValueError('half written')\n")
    folder.registry.refresh()
    assert set(sys.modules) == before


def test_what_cannot_be_read_is_told_until_it_can(folder: Folder) -> None:
    """A folder of that name is what even root can't read as a file."""
    path = folder.path / "mine.py"
    path.mkdir()
    folder.registry.refresh()
    assert list(folder.registry.errors) == [str(path)]
    path.rmdir()
    folder.registry.refresh()
    assert folder.registry.errors == {}


def test_what_cannot_be_read_for_a_while_keeps_its_plugins_and_then_is_no_error(folder: Folder) -> None:
    path = folder.path / "mine.py"
    folder.write("mine.py", codec_file())
    folder.registry.refresh()
    path.unlink()
    path.mkdir()
    folder.registry.refresh()
    assert folder.version() == 1
    path.rmdir()
    folder.write("mine.py", codec_file())
    folder.registry.refresh()
    assert folder.registry.errors == {}
    assert folder.version() == 1


# -- who wins


def test_a_drop_in_shadows_what_metaproxy_brings_until_it_goes(folder: Folder) -> None:
    built_in = Registry().load(ICodec, "dubbo")
    folder.write("mine.py", codec_file("dubbo", version=9))
    folder.registry.refresh()
    assert folder.version("dubbo") == 9
    (folder.path / "mine.py").unlink()
    folder.registry.refresh()
    assert folder.registry.load(ICodec, "dubbo") is built_in


def test_of_two_files_with_the_same_name_the_later_by_path_wins_whenever_they_came(folder: Folder) -> None:
    """Or a restart would choose another one than a reload did."""
    folder.write("b.py", codec_file(version=2))
    folder.registry.refresh()
    folder.write("a.py", codec_file(version=1))
    folder.registry.refresh()
    assert folder.version() == 2 == version_of(Registry([folder.path]).load(ICodec, "mine"))


def test_of_two_folders_the_later_in_the_list_wins(tmp_path: Path) -> None:
    first, second = Folder(tmp_path / "z"), Folder(tmp_path / "a")
    first.write("mine.py", codec_file(version=1))
    second.write("mine.py", codec_file(version=2))
    registry = Registry([first.path, second.path])
    assert version_of(registry.load(ICodec, "mine")) == 2
    registry.refresh([second.path, first.path])
    assert version_of(registry.load(ICodec, "mine")) == 1


def test_the_same_text_in_two_folders_is_two_modules(tmp_path: Path) -> None:
    one, other = Folder(tmp_path / "one"), Folder(tmp_path / "other")
    for each in (one, other):
        each.write("mine.py", codec_file(each.path.name))
    registry = Registry([one.path, other.path])
    assert registry.load(ICodec, "one") is not registry.load(ICodec, "other")


# -- a copy to try things with


def test_what_is_tried_with_a_copy_leaves_the_registry_as_it_is(tmp_path: Path) -> None:
    one, other = Folder(tmp_path / "one"), Folder(tmp_path / "other")
    one.write("mine.py", codec_file())
    other.write("broken.py", "raise ValueError\n")
    one.registry.refresh()
    code, generation = one.registry.load(ICodec, "mine"), one.registry.generation
    copy = one.registry.copy()
    copy.refresh([other.path])
    assert "mine" not in copy.names(ICodec)
    assert copy.errors
    assert one.registry.load(ICodec, "mine") is code
    assert (one.registry.errors, one.registry.folders, one.registry.generation) == ({}, [one.path], generation)


def test_a_copy_that_is_taken_over_is_what_is_known_from_then_on(tmp_path: Path) -> None:
    one, other = Folder(tmp_path / "one"), Folder(tmp_path / "other")
    other.write("mine.py", codec_file(version=2))
    copy = one.registry.copy()
    copy.refresh([other.path])
    generation = one.registry.generation
    one.registry.take(copy)
    assert one.version() == 2
    assert one.registry.folders == [other.path]
    assert one.registry.generation > generation
    assert not one.registry.refresh()


def test_a_copy_does_not_load_again_what_is_known_already(folder: Folder) -> None:
    folder.write("mine.py", codec_file())
    folder.registry.refresh()
    copy = folder.registry.copy()
    assert not copy.refresh()
    assert copy.load(ICodec, "mine") is folder.registry.load(ICodec, "mine")


# -- twisted.plugins


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A directory of `twisted.plugins` of its own, as a third party's package has one."""
    path = tmp_path / "site" / "twisted" / "plugins"
    path.mkdir(parents=True)
    sys.path.insert(0, str(tmp_path / "site"))
    twisted.plugins.__path__.append(str(path))
    yield path
    twisted.plugins.__path__.remove(str(path))
    sys.path.remove(str(tmp_path / "site"))
    for name in [name for name in sys.modules if name.startswith("twisted.plugins.third_party")]:
        del sys.modules[name]


def test_a_third_partys_package_is_found_as_metaproxys_own_plugins_are(installed: Path) -> None:
    (installed / "third_party_good.py").write_text(codec_file("third_party"))
    registry = Registry()
    assert "third_party" in registry.names(ICodec)
    (row,) = [row for row in registry.listing() if row["name"] == "third_party"]
    assert row["origin"] == "twisted.plugins.third_party_good"


def test_a_broken_module_of_twisted_plugins_is_named_and_the_others_go_on(installed: Path) -> None:
    """`getPlugins` merely logs it, and the process goes on without the plugin that a configuration names."""
    broken = installed / "third_party_broken.py"
    broken.write_text("import nowhere_to_be_found\n")
    (installed / "third_party_good.py").write_text(codec_file("third_party"))
    registry = Registry()
    assert list(registry.errors) == [str(broken)]
    assert "No module named 'nowhere_to_be_found'" in registry.errors[str(broken)]
    assert {"third_party", "dubbo"} <= set(registry.names(ICodec))


# -- declarations


def test_a_declaration_imports_nothing_until_it_is_asked() -> None:
    declaration = Declaration(ICodec, "gone", "metaproxy.codecs.nowhere.Gone")
    with pytest.raises(PluginError, match=r"gone: metaproxy\.codecs\.nowhere\.Gone can't be imported"):
        declaration.load()


def test_a_declaration_of_a_class_gives_that_class() -> None:
    assert Declaration(ICodec, "plain", Codec).load() is Codec


# -- the listing


def test_the_listing_tells_kind_name_origin_and_what_it_is_about(folder: Folder) -> None:
    path = folder.write("mine.py", codec_file())
    folder.registry.refresh()
    rows = {(row["kind"], row["name"]): row for row in folder.registry.listing()}
    assert rows["codec", "mine"] == {"kind": "codec", "name": "mine", "origin": path, "about": "What it is."}
    assert rows["balancer", "maglev"]["origin"] == "metaproxy.balancers.maglev.Maglev"
    assert list(rows) == sorted(rows)


def test_the_listing_tells_of_a_plugin_that_cannot_be_imported_and_goes_on(folder: Folder) -> None:
    folder.write("mine.py", codec_file().replace(", Mine)", ', "metaproxy.codecs.nowhere.Gone")'))
    folder.registry.refresh()
    rows = {str(row["name"]): row for row in folder.registry.listing()}
    assert "can't be imported" in str(rows["mine"]["error"])
    assert "about" in rows["dubbo"]


# -- building


class Plain(Codec):
    name = "plain"

    def __init__(self, limit: int, wait: Seconds = Seconds(1.0), clock: object = None) -> None:  # noqa: B008
        self.limit, self.wait, self.clock = limit, wait, clock


class Half:
    name = "half"


DECLARED = f'''
from metaproxy.plugins import Declaration, ICodec

plain = Declaration(ICodec, "plain", "{__name__}.Plain")
half = Declaration(ICodec, "half", "{__name__}.Half")
'''


@pytest.fixture
def registry(folder: Folder) -> Registry:
    """One that knows `Plain` and `Half`."""
    folder.write("declared.py", DECLARED)
    folder.registry.refresh()
    return folder.registry


def test_a_plugin_is_built_with_its_options_converted(registry: Registry) -> None:
    build = registry.factory(ICodec, "plain", {"limit": 3, "wait": "250ms"})
    built = build()
    assert isinstance(built, Plain)
    assert (built.limit, built.wait) == (3, 0.25)


def test_each_call_of_a_factory_builds_another_object(registry: Registry) -> None:
    build = registry.factory(ICodec, "plain", {"limit": 3})
    assert build() is not build()


def test_what_is_injected_is_no_option(registry: Registry) -> None:
    built = registry.factory(ICodec, "plain", {"limit": 3}, {"clock": "the clock", "other": 1})()
    assert isinstance(built, Plain) and built.clock == "the clock"
    with pytest.raises(OptionError, match="no option 'clock'") as refused:
        registry.factory(ICodec, "plain", {"limit": 3, "clock": 5}, {"clock": "the clock"})
    assert refused.value.known == ["limit", "wait"]


def test_a_balancers_endpoints_come_first_and_are_no_option() -> None:
    build: Callable[..., Any] = Registry([EXAMPLES]).factory(ILoadBalancer, "turns", {})
    assert build(["endpoint"]).pick(0) == "endpoint"
    with pytest.raises(OptionError, match="no option 'endpoints'"):
        Registry([EXAMPLES]).factory(ILoadBalancer, "turns", {"endpoints": ["endpoint"]})


@pytest.mark.parametrize(
    ("options", "option", "told"),
    [
        ({"limit": "3"}, "limit", "'3' is not a whole number"),
        ({"limit": True}, "limit", "True is not a whole number"),
        ({"limit": 3, "wait": "soon"}, "wait", "'soon' is not a duration"),
        ({"limit": 3, "limt": 4}, "limt", "no option 'limt'"),
        ({}, None, "option 'limit' is missing"),
    ],
)
def test_an_option_that_is_wrong_is_named(
    registry: Registry, options: dict[str, object], option: str | None, told: str
) -> None:
    with pytest.raises(OptionError) as refused:
        registry.factory(ICodec, "plain", options)
    assert told in str(refused.value)
    assert refused.value.option == option


def test_what_does_not_keep_its_interface_is_refused_in_zopes_words(registry: Registry) -> None:
    build = registry.factory(ICodec, "half", {})
    with pytest.raises(PluginError, match="ICodec"):
        build()


class OnRequest:
    def on_request(self, exchange: object) -> None:
        return None


def implements(interface: object, **members: object) -> object:
    from zope.interface import implementer

    return implementer(interface)(type("Filter", (), members))()


def test_a_filter_is_verified_by_the_hooks_that_it_has() -> None:
    verify(IFilter, implements(IFilter, on_request=lambda self, exchange: None))
    verify(IFilter, implements(IFilter, on_complete=lambda self, exchange: None))
    with pytest.raises(
        PluginError, match="does nothing: a filter has one of on_request, on_response, on_chunk, on_complete"
    ):
        verify(IFilter, implements(IFilter))
    with pytest.raises(PluginError, match=r"on_response"):
        verify(IFilter, implements(IFilter, on_request=lambda self, exchange: None, on_response=lambda self: None))
    with pytest.raises(PluginError, match="IFilter"):
        verify(IFilter, OnRequest())


def test_a_hook_that_is_a_coroutine_is_refused_before_anybody_asks_it() -> None:
    """It would give what is not waited for."""

    async def on_request(self: object, exchange: object) -> None:
        return None

    with pytest.raises(PluginError, match="on_request is a coroutine function, and nothing awaits it"):
        verify(IFilter, implements(IFilter, on_request=on_request))


# -- options

Options = Mapping[str, object]


def converted(hint: object, value: object) -> object:
    def plugin(option: Any) -> None:
        raise AssertionError("only looked at")

    plugin.__annotations__ = {"option": hint}
    return convert(plugin, {"option": value}, {})["option"]


@pytest.mark.parametrize(
    ("hint", "value", "result"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float, 0.5, 0.5),
        (str, "x", "x"),
        (bool, False, False),
        (object, [1], [1]),
        (Seconds, "2s", 2.0),
        (Bytes, "1KiB", 1024),
        (Percent, 25, 25.0),
        (list, ["a"], ["a"]),
        (list[str], ["a"], ["a"]),
        (tuple[str, ...], ["a", "b"], ("a", "b")),
        (set[str], ["a", "a"], {"a"}),
        (frozenset[int], [1], frozenset({1})),
        (Sequence[str], ["a"], ["a"]),
        (list[Seconds], ["1s", 2], [1.0, 2.0]),
        (dict, {"a": 1}, {"a": 1}),
        (dict[str, Bytes], {"a": "1KiB"}, {"a": 1024}),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (str | None, None, None),
        (str | None, "x", "x"),
        (int | str, "x", "x"),
        (Seconds | None, "2s", 2.0),
        (Literal["a", "b"], "b", "b"),
        (list[str] | None, ["a"], ["a"]),
    ],
    ids=str,
)
def test_an_option_becomes_what_the_constructors_annotation_says(hint: object, value: object, result: object) -> None:
    made = converted(hint, value)
    assert made == result
    assert type(made) is type(result)


@pytest.mark.parametrize(
    ("hint", "value", "told"),
    [
        (int, 1.5, "1.5 is not a whole number"),
        (int, True, "True is not a whole number"),
        (float, "1", "'1' is not a number"),
        (float, False, "False is not a number"),
        (str, 1, "1 is not a text"),
        (bool, 1, "1 is not true or false"),
        (bool, "off", "'off' is not true or false"),
        (dict, [], "[] is not a mapping"),
        (list, "a", "'a' is not a list"),
        (list[str], "a", "'a' is not a list"),
        (list[str], [1], "1 is not a text"),
        (Sequence[str], "ab", "'ab' is not a list"),
        (set[str], "ab", "'ab' is not a list"),
        (Mapping[str, str], {"a": 1}, "1 is not a text"),
        (dict[str, int], "a", "'a' is not a mapping"),
        (dict[str, int], {"a": "b"}, "'b' is not a whole number"),
        (Seconds, "1 hour", "'1 hour' is not a duration"),
        (Percent, 101, "101 is not a percentage"),
        (str | None, 1, "1 is not a text"),
        (int | str, None, "None is not a whole number"),
        (Literal["a", "b"], "c", "'c' is none of a, b"),
    ],
    ids=str,
)
def test_what_the_annotation_does_not_allow_is_refused_with_what_it_is_not(
    hint: object, value: object, told: str
) -> None:
    with pytest.raises(OptionError) as refused:
        converted(hint, value)
    assert str(refused.value) == told or told in str(refused.value)
    assert refused.value.option == "option"


def test_a_constructor_that_takes_whatever_comes_needs_none_of_it() -> None:
    class Free:
        def __init__(self, first: int = 1, *rest: int, **more: str) -> None:
            pass

    assert convert(Free, {}, {}) == {}
    assert convert(Free, {"first": 2}, {}) == {"first": 2}
    with pytest.raises(OptionError, match="no option 'more'"):
        convert(Free, {"more": 1}, {})


def test_a_class_without_a_constructor_has_no_options() -> None:
    assert convert(OnRequest, {}, {}) == {}
    with pytest.raises(OptionError, match="no option 'limit'"):
        convert(OnRequest, {"limit": 1}, {})


def test_each_name_that_may_be_left_out_says_so() -> None:
    documented = {
        name
        for interface in (ICodec, ISession, IFilter, ILoadBalancer, IDiscovery)
        for name in interface.names()
        if "Optional" in (interface[name].__doc__ or "")
    }
    assert documented == OPTIONAL
