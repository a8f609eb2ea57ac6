"""What is in force while files, plugins and the admin API change in whichever order."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import MemoryNetwork
from observing import observing
from present import present
from twisted.internet.task import Clock

from metaproxy.app.application import LOOK_EVERY, Application
from metaproxy.app.service import ProxyService
from metaproxy.app.start import on_signals
from metaproxy.config.build import Builder
from metaproxy.plugins import Registry
from metaproxy.support.addresses import Address, show
from metaproxy.telemetry.access_log.filter import LogFiles

CODEC = """
from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import ICodec
from metaproxy.plugins import Declaration

class Mine(Codec):
    name = "NAME"
    version = VERSION

    def session(self, side, max_frame):
        return LengthFramed(1, lambda data, at: 1, None, max_frame)

    def reply(self, request, kind, text, name=""):
        return b""

mine = Declaration(ICodec, "NAME", Mine)
"""

FILTER = '''
from zope.interface import implementer
from metaproxy.interfaces import IFilter, IOnRequest
from metaproxy.plugins import Declaration

made = 0

@implementer(IOnRequest)
class Moody:
    """Can be built once, which is when it is checked."""

    def __init__(self):
        global made
        made += 1
        if made > 1:
            raise RuntimeError("once is enough")

    def on_request(self, exchange):
        return None

moody = Declaration(IFilter, "moody", Moody)
'''


class Socket:
    def __init__(self, where: Address) -> None:
        self.bound = show(where.sockaddr)

    def hand_to(self, accepted: Any) -> None:
        """The tests have no clients."""

    def close(self) -> None:
        """Nor any other listener of the address."""


class Ports(MemoryNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.taken: set[int] = set()

    def listen(self, where: Address, accepted: Any) -> Any:
        if where.port in self.taken:
            raise OSError(98, "Address already in use")
        return Socket(where)


class Stand:
    """A configuration's file, drop-in folders beside it, and the proxy that runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "plugins"
        self.other = folder / "other"
        for one in (self.plugins, self.other):
            one.mkdir()
        self.file = folder / "proxy.yaml"
        self.drop_in("mine.py", "mine", 1)
        self.write(self.config())
        self.network = Ports()
        self.clock: Clock = self.network.clock
        self.registry = Registry()
        self.proxy = ProxyService(self.network, self.registry)
        self.builder = Builder(self.registry, self.clock, LogFiles(self.clock))
        self.configuration = Application(str(self.file), [], self.proxy, self.builder, self.clock)
        assert self.configuration.reload() == []
        self.configuration.startService()

    def config(self, protocol: str = "mine", folder: str = "plugins", port: int = 7000, **listener: Any) -> str:
        return json.dumps(
            {
                "plugins": [folder],
                "listeners": [
                    {"name": "front", "listen": f"127.0.0.1:{port}", "protocol": protocol,
                     "routes": [{"cluster": "one"}], **listener}
                ],
                "clusters": [{"name": "one", "endpoints": ["127.0.0.1:1"]}],
            }
        )  # fmt: skip

    def write(self, text: str) -> None:
        """As an editor does it: a new file in the place of the old one."""
        new = self.folder / "new"
        new.write_text(text)
        new.replace(self.file)

    def drop_in(self, file: str, name: str, version: int, folder: Path | None = None) -> Path:
        path = (folder or self.plugins) / file
        path.write_text(CODEC.replace("NAME", name).replace("VERSION", str(version)))
        return path

    def look(self) -> None:
        self.clock.advance(LOOK_EVERY)
        self.settle()

    def settle(self) -> None:
        """Let what takes more than one slice come to its end."""
        while self.configuration.slices.busy:
            self.clock.advance(0)

    @property
    def codec(self) -> Any:
        """The codec that runs, wherever it came from."""
        assert self.proxy.snapshot is not None
        return self.proxy.snapshot.listeners["front"].codec

    @property
    def version(self) -> int:
        assert self.proxy.snapshot is not None
        return self.proxy.snapshot.version

    @property
    def refused(self) -> list[str] | None:
        refused = self.configuration.refused
        return None if refused is None else refused["errors"]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    yield stand
    stand.configuration.stopService()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is logged."""
    lines: list[str] = []

    def note(event: Any) -> None:
        lines.append(str(event.get("log_format", "")).format(**{key: event[key] for key in event}))

    with observing(note):
        yield lines


# -- the file


def test_a_file_that_is_replaced_is_noticed_whatever_its_time(stand: Stand) -> None:
    times = stand.file.stat()
    stand.write(stand.config(port=7001))
    os.utime(stand.file, ns=(times.st_atime_ns, times.st_mtime_ns))
    stand.look()
    assert stand.version == 2


def test_a_file_that_stays_is_not_read_again(stand: Stand) -> None:
    for _ in range(5):
        stand.look()
    assert stand.version == 1
    assert stand.configuration.reloads == {"applied": 1, "refused": 0}


def test_a_refused_file_is_told_once_and_not_at_each_look(stand: Stand) -> None:
    stand.write("listeners: 5")
    for _ in range(5):
        stand.look()
    assert stand.configuration.reloads == {"applied": 1, "refused": 1}


def test_a_file_that_is_away_while_it_is_replaced_is_no_error(stand: Stand) -> None:
    stand.file.unlink()
    stand.look()
    assert stand.refused is None
    stand.write(stand.config(port=7001))
    stand.look()
    assert stand.version == 2


def test_a_file_that_is_away_when_somebody_asks_is_told_and_read_when_it_is_back(stand: Stand) -> None:
    stand.file.unlink()
    (line,) = stand.configuration.reload()
    assert line == f"{stand.file}: No such file or directory"
    assert stand.refused == [line]
    stand.write(stand.config())
    stand.look()
    assert stand.refused is None
    assert stand.version == 2


def test_a_folder_in_the_place_of_the_file_is_an_error_and_no_more(stand: Stand) -> None:
    stand.file.unlink()
    stand.file.mkdir()
    stand.look()
    assert stand.refused is not None and "Is a directory" in stand.refused[0]
    assert stand.version == 1


def test_bytes_that_are_no_text_are_refused_with_their_place(stand: Stand) -> None:
    stand.file.write_bytes(b"listeners: []\nclusters: \xff\n")
    (line,) = stand.configuration.reload()
    assert line.startswith(f"{stand.file}:2:") and "0xff is not UTF-8" in line


def test_all_that_is_wrong_is_logged_with_what_stays_in_force(stand: Stand, told: list[str]) -> None:
    stand.write(stand.config(protocol="mien", max_conections=1))
    stand.look()
    (text,) = [line for line in told if "stays in force" in line]
    assert "no codec 'mien'; did you mean 'mine'?" in text
    assert "2 errors; the configuration loaded at " in text


# -- drop-ins


def test_new_code_is_taken_and_nothing_else_changes(stand: Stand) -> None:
    before = stand.codec
    stand.drop_in("mine.py", "mine", 2)
    stand.look()
    assert (before.version, stand.codec.version, stand.version) == (1, 2, 2)
    assert stand.proxy.snapshot is not None
    assert stand.proxy.snapshot.clusters["one"].codec is stand.codec


def test_another_file_in_the_folder_changes_nothing_of_what_runs(stand: Stand) -> None:
    assert stand.proxy.snapshot is not None
    codec, cluster = stand.codec, stand.proxy.snapshot.clusters["one"]
    stand.drop_in("more.py", "more", 1)
    stand.look()
    assert stand.codec is codec
    assert stand.proxy.snapshot.clusters["one"] is cluster
    assert not cluster.retired


def test_a_broken_file_is_logged_with_its_traceback(stand: Stand, told: list[str]) -> None:
    (stand.plugins / "broken.py").write_text("1 / 0\n")
    stand.look()
    assert any("broken.py can't be loaded" in line and "ZeroDivisionError" in line for line in told)


def test_a_broken_file_is_logged_also_when_the_configuration_changes_with_it(stand: Stand, told: list[str]) -> None:
    (stand.plugins / "broken.py").write_text("1 / 0\n")
    stand.write(stand.config(port=7001))
    stand.look()
    stand.look()
    assert stand.version >= 2
    assert sum("broken.py can't be loaded" in line for line in told) == 1


def test_a_plugin_that_is_taken_away_stays_in_force_until_it_is_back(stand: Stand) -> None:
    codec = stand.codec
    (stand.plugins / "mine.py").unlink()
    stand.look()
    assert stand.codec is codec
    assert stand.refused is not None and "no codec 'mine'" in stand.refused[0]
    stand.drop_in("mine.py", "mine", 3)
    stand.look()
    assert stand.codec.version == 3
    assert stand.refused is None


def test_a_file_and_the_plugin_that_it_needs_may_come_together(stand: Stand) -> None:
    stand.drop_in("other.py", "other", 5)
    stand.write(stand.config(protocol="other"))
    assert stand.configuration.reload() == [], "whoever asks has put both there"
    assert stand.codec.version == 5


def test_a_file_that_was_refused_for_want_of_a_plugin_is_applied_when_it_comes(stand: Stand) -> None:
    stand.write(stand.config(protocol="other"))
    stand.look()
    assert stand.refused is not None
    stand.drop_in("other.py", "other", 5)
    stand.look()
    assert stand.refused is None
    assert stand.codec.version == 5


def test_new_code_is_taken_although_the_file_is_refused_and_that_is_still_shown(stand: Stand) -> None:
    stand.write(stand.config(port=99999))
    stand.look()
    refused = stand.refused
    assert refused is not None
    stand.drop_in("mine.py", "mine", 2)
    stand.look()
    assert stand.codec.version == 2
    assert stand.refused == refused


def test_a_configuration_that_was_put_stays_when_a_plugin_changes(stand: Stand) -> None:
    """Its file is asked only when it changes, or when somebody says so."""
    assert stand.configuration.apply_text(stand.config(port=7005)) == []
    assert stand.configuration.apply_text("listeners: 5") != []
    stand.drop_in("mine.py", "mine", 2)
    stand.look()
    assert stand.codec.version == 2
    assert stand.proxy.listeners["front"].bound() == ["127.0.0.1:7005"]


def test_what_was_put_and_refused_is_not_applied_behind_somebodys_back(stand: Stand) -> None:
    assert stand.configuration.apply_text(stand.config(protocol="other")) != []
    stand.drop_in("other.py", "other", 5)
    stand.look()
    assert stand.codec.name == "mine"


# -- folders


def test_other_folders_are_looked_at_when_a_configuration_names_them(stand: Stand) -> None:
    stand.drop_in("other.py", "other", 7, stand.other)
    stand.write(stand.config(protocol="other", folder="other"))
    stand.look()
    assert stand.codec.version == 7
    assert stand.registry.folders == [stand.other]
    stand.drop_in("other.py", "other", 8, stand.other)
    stand.look()
    assert stand.codec.version == 8


@pytest.mark.parametrize("wrong", [{"protocol": "nowhere"}, {"port": 7009}], ids=["a wrong name", "a taken address"])
def test_a_refused_configuration_does_not_take_its_folders_with_it(stand: Stand, wrong: dict[str, Any]) -> None:
    stand.network.taken = {7009}
    stand.drop_in("mine.py", "mine", 7, stand.other)
    codec = stand.codec
    stand.write(stand.config(folder="other", **wrong))
    stand.look()
    assert stand.refused is not None
    assert stand.registry.folders == [stand.plugins]
    stand.look()
    assert stand.codec is codec
    stand.drop_in("mine.py", "mine", 2)
    stand.look()
    assert stand.codec.version == 2


def test_asking_about_a_text_loads_nothing_and_keeps_nothing(stand: Stand) -> None:
    stand.drop_in("other.py", "other", 7, stand.other)
    generation, codec = stand.registry.generation, stand.codec
    problems, difference = stand.configuration.check(stand.config(protocol="other", folder="other"))
    assert problems == []
    assert present(difference)["listeners"]["changed"] == ["front"]
    assert present(difference)["sections"] == ["plugins"]
    assert (stand.registry.generation, stand.registry.folders) == (generation, [stand.plugins])
    assert stand.codec is codec and stand.version == 1
    assert stand.configuration.reloads == {"applied": 1, "refused": 0}
    assert stand.refused is None


def test_asking_knows_of_a_plugin_that_was_just_put_there(stand: Stand) -> None:
    stand.drop_in("other.py", "other", 7)
    assert stand.configuration.check(stand.config(protocol="other"))[0] == []
    assert "other" not in [row["name"] for row in stand.registry.listing()]


def test_asking_about_what_is_wrong_is_no_refusal(stand: Stand) -> None:
    problems, difference = stand.configuration.check("listeners: 5")
    assert [str(problem) for problem in problems] and difference is None
    assert stand.refused is None
    assert stand.configuration.reloads["refused"] == 0


# -- faults of others


def test_a_plugin_that_fails_only_when_it_is_needed_costs_the_configuration_and_not_the_watch(stand: Stand) -> None:
    (stand.plugins / "moody.py").write_text(FILTER)
    snapshot = stand.proxy.snapshot
    stand.write(stand.config(filters=["moody"]))
    stand.look()
    assert stand.proxy.snapshot is snapshot
    assert stand.refused is not None and "once is enough" in stand.refused[0]
    stand.write(stand.config(port=7001))
    stand.look()
    assert stand.refused is None
    assert stand.proxy.listeners["front"].bound() == ["127.0.0.1:7001"]


def test_an_address_that_is_taken_is_told_and_tried_again_when_asked(stand: Stand) -> None:
    stand.network.taken = {7001}
    stand.write(stand.config(port=7001))
    stand.look()
    assert stand.refused == [f"{stand.file}: listener front: 127.0.0.1:7001: Address already in use"]
    stand.network.taken = set()
    assert stand.configuration.reload() == []
    assert stand.refused is None


def test_a_proxy_that_drains_refuses_whatever_comes(stand: Stand) -> None:
    stand.proxy.drain()
    stand.write(stand.config(port=7001))
    stand.look()
    assert stand.refused is not None and "drains" in stand.refused[0]
    assert stand.version == 1


# -- signals


class SignalReactor:
    """Runs what a reactor would run, when a test says so."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def callWhenRunning(self, call: Any) -> None:
        call()

    def callFromThread(self, call: Any) -> None:
        self.calls.append(call)


@pytest.fixture
def signals() -> Iterator[SignalReactor]:
    before = {one: signal.getsignal(one) for one in (signal.SIGHUP, signal.SIGUSR1)}
    yield SignalReactor()
    for one, handler in before.items():
        signal.signal(one, handler)


def test_sighup_reads_the_file_again_in_the_reactors_own_time(stand: Stand, signals: Any) -> None:
    reopened: list[bool] = []
    on_signals(signals, stand.configuration, [partial(reopened.append, True)])
    stand.write(stand.config(port=7001))
    signal.raise_signal(signal.SIGHUP)
    assert stand.version == 1, "whatever runs is not interrupted"
    (call,) = signals.calls
    call()
    stand.settle()
    assert stand.version == 2
    assert not reopened


def test_sigusr1_opens_the_logs_again_and_reads_nothing(stand: Stand, signals: Any) -> None:
    reopened: list[bool] = []
    on_signals(signals, stand.configuration, [partial(reopened.append, True)])
    stand.write(stand.config(port=7001))
    signal.raise_signal(signal.SIGUSR1)
    (call,) = signals.calls
    call()
    assert reopened == [True]
    assert stand.version == 1
