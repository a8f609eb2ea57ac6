"""A plugin with a mistake is refused with its name, its file and what to write; working code stays in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand import Stand

from metaproxy.app.application import LOOK_EVERY
from metaproxy.app.start import check_file
from metaproxy.config import slices
from metaproxy.config.check import ConfigErrors, check
from metaproxy.config.smoke import TooLong, slips, smoke, watched
from metaproxy.interfaces import ICodec, IDiscovery, IFilter, ILoadBalancer
from metaproxy.plugins import PluginError, Registry

CODEC = '''
from metaproxy.codecs.framing import Codec, LengthFramed, Session
from metaproxy.interfaces import ICodec
from metaproxy.message import Correlation, Side
from metaproxy.plugins import Declaration

class Mine(Codec):
    """A codec."""

    name = "mine"
    {attributes}

    def {session}(self, side, max_frame):
        {body}

    def reply(self, request, kind, text, name=""):
        return b""

mine = Declaration(ICodec, "mine", Mine)
'''
FRAMED = "return LengthFramed(1, lambda data, at: data[at] + 1, None, max_frame)"


def codec(attributes: str = "", session: str = "session", body: str = FRAMED) -> str:
    return CODEC.format(attributes=attributes, session=session, body=body)


def built(source: str) -> Any:
    space: dict[str, Any] = {"__name__": "drop_in"}
    exec(source, space)
    return space["Mine"]()


def refusal(source: str) -> str:
    with pytest.raises(PluginError) as caught:
        smoke(ICodec, built(source))
    return str(caught.value)


def test_a_codec_as_it_should_be_passes() -> None:
    smoke(ICodec, built(codec()))
    smoke(ICodec, built(codec(attributes="keys = {'a': 'b'}; upper_keys = ('a',); open_keys = False")))
    smoke(ICodec, built(codec(attributes="mirror = type('M', (Codec,), {'copied': print})()")))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ('correlation = "fifo"', "Correlation.ID or Correlation.FIFO"),
        ('affinity = "message"', "connections = 'pinned'"),
        ('keys = ["a", "b"]', "a dict of texts"),
        ("keys = {'a': 1}", "a dict of texts"),
        ("keys = {1: 'a'}", "a dict of texts"),
        ('hash_aliases = ["key"]', "a dict of texts"),
        ('connections = "shared"', "'multiplex', 'pool', 'transaction', 'pinned'"),
        ("connections = None", "'multiplex', 'pool', 'transaction', 'pinned'"),
        ("connections = []", "'multiplex', 'pool', 'transaction', 'pinned'"),
        ("max_id = 0", "a whole number above 0"),
        ("max_id = '65535'", "a whole number above 0"),
        ("max_id = 2.5", "a whole number above 0"),
        ("max_id = True", "a whole number above 0"),
        ("mirror = 'other'", "mirror is 'other' (str); write a codec, or None"),
        ("mirror = Codec()", "mirror.copied is missing"),
        ("mirror = type('M', (Codec,), {'connections': 'pinned', 'copied': print})()", "copies share them"),
        ("ordered = 'yes'", "True or False"),
        ("sequential = 1", "True or False"),
        ("server_first = None", "True or False"),
        ("stateful = 0", "True or False"),
        ("mutable = None", "a text"),
        ("mutable = True", "a text"),
        ("name = ''", "a text"),
        ("open_keys = 'no'", "True, False or None"),
        ("upper_keys = 'command'", "a tuple of keys"),
        ("safe = True", "write def safe"),
        ("probe = None", "write def probe"),
    ],
)
def test_an_attribute_of_a_wrong_kind_is_refused_with_what_to_write(attributes: str, words: str) -> None:
    text = refusal(codec(attributes=attributes))
    assert words in text
    assert attributes.partition(" ")[0] in text


@pytest.mark.parametrize("name", ["sesion", "sessions", "get_session", "Session"])
def test_a_misspelt_session_is_told_with_what_was_meant(name: str) -> None:
    assert f"did you mean it by {name!r}?" in refusal(codec(session=name))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "return a session"),
        ("pass", "return a session"),
        ("raise KeyError(side)", "session(Side.CLIENT, 65536) raises KeyError"),
        ("return 1 / 0 if side is Side.SERVER else LengthFramed(1, len, None, max_frame)", "session(Side.SERVER"),
        ("return object()", "is missing"),
        ("s = LengthFramed(1, len, None, max_frame); s.receive = lambda data: None; return s", "return a list"),
        ("s = LengthFramed(1, len, None, max_frame); s.receive = lambda data: (); return s", "return a list"),
        ("s = LengthFramed(1, len, None, max_frame); s.receive = lambda data: 1 / 0; return s", "ZeroDivisionError"),
        (
            "s = LengthFramed(1, len, None, max_frame); s.receive = lambda: []; return s",
            "receive(b'') raises TypeError",
        ),
        ("s = LengthFramed(1, len, None, max_frame); s.receive = []; return s", "write def receive"),
        ("s = LengthFramed(1, len, None, max_frame); s.send = None; return s", "write def send"),
        ("s = LengthFramed(1, len, None, max_frame); s.open = lambda *_: None; return s", "return bytes"),
        ("s = LengthFramed(1, len, None, max_frame); s.open = lambda *_: 'HELLO'; return s", "return bytes"),
        ("s = LengthFramed(1, len, None, max_frame); s.open = lambda *_: 1 / 0; return s", "ZeroDivisionError"),
        ("s = LengthFramed(1, len, None, max_frame); s.ready = None; return s", "ready is None"),
        ("s = LengthFramed(1, len, None, max_frame); s.cutter = 7; return s", "cutter is 7"),
        ("s = LengthFramed(1, len, None, max_frame); s.error = 'no'; return s", "error is 'no'"),
        ("s = LengthFramed(1, len, None, max_frame); s.buffered = None; return s", "a number of bytes"),
        ("return Session()", "is not written"),
    ],
)
def test_a_session_with_a_mistake_is_refused_with_what_to_write(body: str, words: str) -> None:
    assert words in refusal(codec(body=body))


def test_a_session_whose_requests_have_profiles_of_their_own_passes() -> None:
    body = "s = LengthFramed(1, len, None, max_frame); s.open = lambda profile, _: profile.database; return s"
    smoke(ICodec, built(codec(body=body)))


def test_a_session_written_before_later_names_came_passes() -> None:
    source = codec(body="return Old(max_frame)").replace(
        "class Mine",
        "class Old:\n"
        "    error = None; ready = True; buffered = 0; closing = False; reusable = True\n"
        "    def __init__(self, most): pass\n"
        "    def open(self, profile, credentials): return b''\n"
        "    def receive(self, data): return []\n"
        "    def send(self, message, id): return b''\n"
        "    def drain(self): return b''\n\n"
        "class Mine",
    )
    smoke(ICodec, built(source))


def test_what_does_not_come_back_is_ended() -> None:
    def endless() -> None:
        number = 0
        while True:
            number += 1

    with pytest.raises(TooLong, match="does not come back"):
        watched(endless, 0.05)


class Filter:
    def on_request(self, exchange: object) -> None:
        return None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counters": ["a"]}, "counters"), ({"counters": {"a": "1"}}, "counters"), ({"gauges": 5}, "gauges"),
        ({"stop": True}, "write def stop"), ({"on_complete": 5}, "write def on_complete"),
        ({"explain": "no"}, "write def explain"), ({"inherit": {}}, "write def inherit"),
        ({"error_names": "LOADING"}, "a tuple of names"),
        ({"per_worker": "ratio"}, "a tuple of names"),
        ({"parts": "topics"}, "a tuple of names"),
    ],
)  # fmt: skip
def test_a_filter_with_a_mistake_is_refused(change: dict[str, Any], words: str) -> None:
    smoke(IFilter, Filter())
    with pytest.raises(PluginError, match=words):
        smoke(IFilter, type("Wrong", (Filter,), change)())


@pytest.mark.parametrize(
    ("pick", "words"),
    [
        (lambda self, hash: None, "return one of the endpoints"), (lambda self, hash: "127.0.0.1:1", "return one of"),
        (lambda self, hash: self.none, "AttributeError"), (5, "write def pick"), (lambda self: None, "TypeError"),
    ],
)  # fmt: skip
def test_a_balancer_with_a_mistake_is_refused(pick: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        smoke(ILoadBalancer, type("Wrong", (), {"uses_hash": False, "pick": pick})(), [object()])


def test_a_discovery_has_start_and_stop() -> None:
    with pytest.raises(PluginError, match="did you mean it by 'strat'"):
        smoke(IDiscovery, type("Wrong", (), {"strat": lambda self: 1, "stop": lambda self: None, "__module__": "x"})())


def test_names_that_are_nearly_right_are_told() -> None:
    wrong = type("Wrong", (Filter,), {"on_complet": lambda self, exchange: None, "__module__": "x"})()
    assert list(slips(IFilter, wrong)) == ["on_complet: no filter has that; did you mean 'on_complete'?"]
    assert list(slips(IFilter, Filter())) == []


# -- in a configuration


def config(folder: Path, port: int = 7000) -> str:
    return json.dumps(
        {
            "plugins": [str(folder)],
            "listeners": [
                {"name": "l", "listen": f"127.0.0.1:{port}", "protocol": "mine", "routes": [{"cluster": "c"}]}
            ],
            "clusters": [{"name": "c", "endpoints": ["127.0.0.1:1"]}],
        }
    )


@pytest.mark.parametrize("mistake", [codec(session="sesion"), codec('correlation = "fifo"'), codec("keys = ['a']")])
def test_the_check_names_plugin_and_file(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "mine.py").write_text(mistake)
    (tmp_path / "proxy.yaml").write_text(config(tmp_path))
    with pytest.raises(ConfigErrors) as caught:
        check_file(str(tmp_path / "proxy.yaml"), [])
    text = str(caught.value)
    assert ("mine" in text and str(tmp_path / "mine.py") in text and "did you mean" in text) or "write" in text


def test_the_check_tries_plugins_that_no_listener_names(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(codec(session="sesion"))
    (tmp_path / "proxy.yaml").write_text(f"plugins: {tmp_path}\n")
    with pytest.raises(ConfigErrors, match="sesion"):
        check_file(str(tmp_path / "proxy.yaml"), [])


def test_a_file_with_a_mistake_never_replaces_working_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "FIRST", 60.0)  # a busy machine would do the work in slices
    (tmp_path / "mine.py").write_text(codec())
    stand = Stand(tmp_path, config(tmp_path))
    assert stand.errors == []
    before = stand.snapshot.listeners["l"].codec
    (tmp_path / "mine.py").write_text(codec(session="sesion"))
    stand.configuration.startService()
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.listeners["l"].codec is before
    assert "sesion" in stand.registry.errors[str(tmp_path / "mine.py")]
    for _ in range(3):  # it is still reported when it is looked at again
        stand.network.clock.advance(LOOK_EVERY)
    assert "sesion" in stand.registry.errors[str(tmp_path / "mine.py")]
    (tmp_path / "mine.py").write_text(codec("max_id = 77"))
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.listeners["l"].codec.max_id == 77
    assert stand.registry.errors == {}
    stand.configuration.stopService()


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("x = = 1\n", "SyntaxError"), ("import nowhere_at_all\n", "ModuleNotFoundError"),
        ("raise SystemExit\n", "SystemExit"),
        ("", "no Declaration"),
    ],
)  # fmt: skip
def test_the_first_line_is_the_cause_when_a_broken_file_was_to_bring_a_plugin(
    tmp_path: Path, source: str, cause: str
) -> None:
    (tmp_path / "mine.py").write_text(source)
    text = config(tmp_path)
    registry = Registry([tmp_path])
    found, problems = check(text, "proxy.yaml", registry)
    assert found is None
    assert problems[0].file == str(tmp_path / "mine.py")
    assert cause in problems[0].text
    assert "no codec 'mine'" in problems[1].text
    (tmp_path / "proxy.yaml").write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        check_file(str(tmp_path / "proxy.yaml"), [])
    first, *others = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'mine.py'}:1:1: ") and cause in first
    assert sum(cause in line for line in others) == 0


def test_a_proxy_that_runs_tells_the_cause_first_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = = 1\n")
    stand = Stand(tmp_path, config(tmp_path))
    assert "mine.py:1:1" in stand.errors[0] and "SyntaxError" in stand.errors[0]


@pytest.mark.parametrize("fault", ["SystemExit(0)", "KeyboardInterrupt()", "GeneratorExit()"])
@pytest.mark.parametrize("place", ["def __init__(self):", "def session(self, side, max_frame):"])
def test_a_plugin_that_ends_the_process_is_refused_and_the_check_says_so(
    tmp_path: Path, place: str, fault: str
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    raising = f"{place}\n        raise {fault}"
    source = codec().replace("def session(self, side, max_frame):\n", f"{raising}\n        pass\n")
    (folder / "mine.py").write_text(source)
    file = tmp_path / "p.yaml"
    file.write_text(
        f"plugins: ['{folder}']\nlisteners: [{{name: l, listen: '127.0.0.1:1', protocol: mine, "
        "routes: [{cluster: c}]}]\nclusters: [{name: c, endpoints: ['127.0.0.1:1']}]\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        check_file(str(file), [])
    assert fault.partition("(")[0] in str(caught.value)


def test_a_misspelt_reply_is_told_with_what_was_meant() -> None:
    source = codec().replace("def reply(", "def repli(")
    assert "reply is not written; did you mean it by 'repli'?" in refusal(source)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("def send(self, message): return b''", "send can't be called with a message and an id"),
        ("def drain(self): return None", "drain() gives None"),
        ("def drain(self): raise SystemExit(1)", "drain() raises SystemExit"),
    ],
)
def test_the_rest_of_a_session_is_tried_too(method: str, words: str) -> None:
    lines = ("class Own(Session):", "    def receive(self, data): return []", f"    {method}", "return Own()")
    body = "\n        ".join(lines)
    assert words in refusal(codec(body=body))
