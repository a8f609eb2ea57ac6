"""
Where the configuration comes from, again and again: at the start, by signal, by file change, by the admin API.

Lives here: `Configuration` (what is in force, what was refused last), watching files, and `make_services`. Does not:
what a configuration means (`check`, `build`), what runs (`service`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sized
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.task import Clock, LoopingCall
from twisted.logger import Logger

from metaproxy.app.process import must_be_free, raise_file_limit, settle_memory
from metaproxy.app.service import ProxyService
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.check import ConfigErrors, Problem, check, plugin_folders
from metaproxy.config.named_files import Confinement, NamedFile, named_files
from metaproxy.config.plugin_problems import file_problems, try_unused
from metaproxy.config.schema.load import Scalar, load, read
from metaproxy.config.slices import Slices, in_reactor
from metaproxy.config.tls import AdminContexts, CertificateError, admin_options
from metaproxy.plugins import Registry
from metaproxy.telemetry.access_log.filter import LogFiles

log = Logger()

LOOK_EVERY = 1.0
"""Seconds between looks at the configuration's file and the drop-in folders."""


class Configuration(Service):
    """
    file: the path it is read from. text: what is in force, as it was written. refused: the last configuration that was
    not taken ({"time", "source", "errors"}), None when the last one was. reloads: {"applied": n, "refused": n}. live:
    values of `runtime:` that were changed since the start; they stay, whatever configuration comes, while it knows the
    name; defaults: what the configuration says of them. admin_tls: what the admin API's connections begin with, if it
    speaks TLS. slices: in which whatever checks or applies a configuration is run, so that a large one delays no
    exchange; all else that does so must take its turn there.
    """

    name = "configuration"

    def __init__(self, file: str, folders: Iterable[str], proxy: ProxyService, builder: Builder, reactor: Any) -> None:
        self.file = file
        self.text = ""
        self._source = file
        self._folder = Path(file).absolute().parent
        self.config = model.Config()
        self.applied = 0.0
        self.refused: dict[str, Any] | None = None
        self.reloads = {"applied": 0, "refused": 0}
        self._folders = [str(Path(folder).absolute()) for folder in folders]
        self._proxy = proxy
        self._registry = builder.registry
        self._builder = builder
        self._reactor = reactor
        self.live: dict[str, Scalar] = {}
        self.defaults: dict[str, Any] = {}
        self.admin_tls: AdminContexts | None = None
        self._open = False  # whether anybody who reaches the admin API may ask everything
        self._files: list[NamedFile] = []
        self._file_stamps: dict[Path, object] = {}
        self._seen: object = None
        self.slices = Slices(reactor)
        self._file_waits = False  # it was refused, and nothing was put in force since
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor

    # -- what may be asked of it

    def reload(self) -> list[str]:
        """Reads the file again. The lines of what is wrong with it; [] when it was applied."""
        try:
            self._seen = _stamp(self.file)
            text = read(self.file)
        except OSError as error:
            return self._refuse([f"{self.file}: {error.strerror}"], self.file)
        lines = self.apply_text(text)
        self._file_waits = bool(lines)
        return lines

    def check_put(self, text: str | bytes, source: str = "") -> tuple[list[Problem], dict[str, Any]]:
        """As `check`, for somebody who may not be known; see `put_text`."""
        return self.check(text, source, self._confinement())

    def check(
        self, text: str | bytes, source: str = "", confined: Confinement | None = None
    ) -> tuple[list[Problem], dict[str, Any]]:
        """
        What is wrong with a text, and what applying it would change; changes nothing. source: what errors call it;
        relative paths start from the folder of the proxy's own file all the same. confined: as of `apply_text`.
        """
        registry = self._registry_for(text, confined)
        config, problems = check(
            text, source or self.file, registry, folder=self._folder, runtime=self.live, confined=confined
        )
        if config is None:
            return problems, {}
        difference = model.diff(self.config, config)
        return [], {
            "listeners": difference.listeners._asdict(),
            "clusters": difference.clusters._asdict(),
            "sections": difference.sections,
            "warnings": [str(warning) for warning in config.warnings],
        }

    def put_text(self, text: str | bytes, source: str = "") -> list[str]:
        """As `apply_text`, for somebody who may not be known: without tokens no file can be named that was not."""
        return self.apply_text(text, source, self._confinement())

    def apply_text(self, text: str | bytes, source: str = "", confined: Confinement | None = None) -> list[str]:
        """
        Checks a text and puts it in force. The lines of what is wrong with it; [] when it was applied. source: as of
        `check`; confined: what keeps it to the files that are named already.
        """
        source = source or self.file
        registry = self._registry_for(text, confined)
        stamps = self._stamps()  # before they are read: what changes meanwhile is seen at the next look
        config, problems = check(
            text, source, registry, folder=self._folder, injected=self._builder.injected, runtime=self.live,
            confined=confined,
        )  # fmt: skip
        if config is None:
            self._registry.note_blame(registry)
            return self._refuse([str(problem) for problem in problems], source)
        before = self._registry.copy()
        self._registry.take(registry)
        try:
            snapshot = self._builder.build(config)
            admin_tls = self._admin_options(config)
            in_reactor(partial(self._proxy.apply, snapshot))
        except Exception as error:
            self._registry.take(before)
            if isinstance(error, OSError | CertificateError):
                return self._refuse([f"{source}: {getattr(error, 'strerror', None) or error}"], source)
            # A plugin that did what it was checked for once and no more, or our bug: neither ends the watch.
            log.failure("{source}: could not be put in force", source=source)
            return self._refuse([f"{source}: {type(error).__name__}: {error}"], source)
        self._tell_of_plugins(before)
        in_reactor(partial(self._builder.commit, snapshot))
        if self.admin_tls is not None and admin_tls is not None:
            self.admin_tls.options = admin_tls
        self._note(config)
        if not self.applied:
            self._open = is_open(config.admin)
            settle_memory()
        if confined is None and source == self.file:
            self._files = [*named_files(config, self._registry.load)]
        self.text, self.config, self.refused = text if isinstance(text, str) else text.decode(), config, None
        self._source = source
        self._file_waits = False
        now = self._stamps()
        self._file_stamps = now | {path: stamp for path, stamp in stamps.items() if path in now}
        self.live = {name: value for name, value in self.live.items() if name in config.runtime}
        self.defaults = _runtime(text, self.file) if self.live else dict(config.runtime)
        self.applied = time.time()
        self.reloads["applied"] += 1
        return []

    def set_live(self, name: str, value: Scalar) -> list[str]:
        """
        Gives a value of `runtime:` another one; None: the one that is written. The lines of what is wrong with the
        configuration then; [] when it is in force. Raises KeyError for a name that it does not have.
        """
        if name not in self.config.runtime:
            raise KeyError(name)
        before = self.live
        self.live = {key: one for key, one in before.items() if key != name} | ({} if value is None else {name: value})
        lines = self._again(self._confinement())
        if lines:
            self.live = before
        return lines

    def dump(self) -> Any:
        """The configuration in force, with defaults, as JSON has it; secrets masked."""
        return model.as_data(self.config)

    # -- watching

    def startService(self) -> None:
        super().startService()
        self._watch.start(LOOK_EVERY, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._watch.running:
            self._watch.stop()

    def _look(self) -> None:
        if self.slices.busy:  # it is looked at a second later
            return
        if _stamp(self.file) not in (self._seen, None):
            self.soon(self.reload)
            return
        before = self._registry.copy()
        changed = self._registry.refresh()
        if changed:
            self._tell_of_plugins(before)
        stamps = self._stamps()
        if changed or stamps != self._file_stamps:
            self._file_stamps = stamps
            self.soon(self._parts_changed)

    def soon(self, work: Callable[[], object]) -> None:
        """Does in slices what reads or applies a configuration."""
        self.slices.run(work).addErrback(lambda failure: log.failure("{file}: not applied", failure, file=self.file))

    def _stamps(self) -> dict[Path, object]:
        """Of certificates, keys and secrets: what is in them is part of the configuration."""
        return {path: _stamp(str(path)) for path in model.files_of(self.config)}

    def _admin_options(self, config: model.Config) -> Any:
        tls = config.admin.tls
        return admin_options(tls) if self.admin_tls is not None and tls is not None else None

    def _parts_changed(self) -> None:
        """The file may have been refused for want of what came; if it still is, what is in force takes what is new."""
        if self._file_waits and not self.reload():
            return
        self._again()

    def _again(self, confined: Confinement | None = None) -> list[str]:
        """Puts what is in force in force anew, as something changed that it refers to."""
        waits, refused = self._file_waits, self.refused
        lines = self.apply_text(self.text, self._source, confined)
        if not lines and waits:
            self._file_waits, self.refused = waits, refused
        return lines

    def _tell_of_plugins(self, before: Registry) -> None:
        for path, trace in self._registry.errors.items():
            if self.applied and before.errors.get(path) != trace:
                log.error("plugin {path} can't be loaded:\n{trace}", path=path, trace=trace)

    # -- how

    def _registry_for(self, text: str | bytes, confined: Confinement | None = None) -> Registry:
        """The plugins as they are now in the folders that a text names; those in use stay as they are."""
        registry = self._registry.copy()
        folders = plugin_folders(text, self.file)
        if confined is not None:
            folders = confined.folders(folders)
        registry.refresh([*folders, *map(Path, self._folders)])
        return registry

    def _confinement(self) -> Confinement | None:
        """What anybody who reaches the admin API may name: the files of the last configuration that was not theirs."""
        return Confinement(self._files) if self.applied and self._open else None

    def _refuse(self, lines: list[str], source: str) -> list[str]:
        self.reloads["refused"] += 1
        self.refused = {"time": time.time(), "source": source, "errors": lines}
        if self.applied:
            when = time.strftime("%H:%M:%S", time.localtime(self.applied))
            log.error(
                "{errors}\n{count}; the configuration loaded at {when} stays in force",
                errors="\n".join(lines), count=_count(lines, "error"), when=when,
            )  # fmt: skip
        return lines

    def _note(self, config: model.Config) -> None:
        for warning in config.warnings:
            log.warn("{warning}", warning=str(warning))
        if self.applied and config.admin != self.config.admin:
            log.warn("{file}: admin: takes effect at the next start", file=self.file)
        log.info(
            "configuration {version} in force: {listeners}", version=self._builder._version, listeners=self._bound()
        )

    def _bound(self) -> str:
        """What listens where, for the log."""
        listeners = self._proxy.listeners.values()
        return (
            ", ".join(f"{one.name} at {' '.join(one.bound()) or 'no address'}" for one in listeners) or "no listeners"
        )


def is_open(admin: model.Admin) -> bool:
    """Whether the admin API knows nobody who asks: no tokens, no certificates of clients, no socket of one user's."""
    known = admin.tokens is not None or (admin.tls is not None and admin.tls.client_ca is not None)
    return not known and not admin.listen.startswith("unix:")


def _runtime(text: str | bytes, file: str) -> dict[str, Any]:
    """`runtime:` as it is written, in a text that is right."""
    root, _ = load(text, file)
    found = root.value.get("runtime") if root is not None and isinstance(root.value, dict) else None
    return (
        {name: node.value for name, node in found.value.items()}
        if found is not None and isinstance(found.value, dict)
        else {}
    )


def _stamp(file: str) -> object:
    """Differs when the file was written or replaced; None while it is not there (it may be about to be moved in)."""
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def check_file(file: str, folders: Iterable[str]) -> str:
    """A report of a configuration that is right, warnings included. Raises ConfigErrors."""
    try:
        text = read(file)
    except OSError as error:
        raise ConfigErrors([Problem(file, 1, 1, "", str(error.strerror))]) from error
    registry = Registry([*plugin_folders(text, file), *folders])
    config, problems = check(text, file, registry)
    try_unused(registry, {"clock": Clock(), "node": model.Node()})
    # The cause first: what a configuration misses may be in a file that can't be loaded.
    problems = [*dict.fromkeys([*file_problems(registry.errors), *problems])]
    if config is None or problems:
        raise ConfigErrors(problems)
    warnings = "".join(f"warning: {warning}\n" for warning in config.warnings)
    found = f"{_count(config.listeners, 'listener')}, {_count(config.clusters, 'cluster')}"
    return f"{warnings}{file}: {found}; nothing is wrong\n"


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"


def make_services(file: str, folders: Iterable[str]) -> MultiService:
    """All that `twistd metaproxy` runs. Raises ConfigErrors, or OSError for an address that can't be had."""
    from twisted.internet import reactor

    from metaproxy.admin.service import AdminService
    from metaproxy.proxy.flush_queue import FlushQueue
    from metaproxy.proxy.transport import Network

    clock: Any = reactor
    raise_file_limit()
    registry = Registry()
    proxy = ProxyService(Network(clock, FlushQueue(clock)), registry)
    logs = LogFiles(clock)
    configuration = Configuration(file, folders, proxy, Builder(registry, clock, logs), clock)
    _first(configuration)
    for path, trace in registry.errors.items():
        log.error("plugin {path} can't be loaded:\n{trace}", path=path, trace=trace)
    services = MultiService()
    logs.setServiceParent(services)
    configuration.setServiceParent(services)
    proxy.setServiceParent(services)
    admin = configuration.config.admin
    must_be_free(admin.listen)
    tls = configuration.admin_tls = AdminContexts(admin_options(admin.tls)) if admin.tls is not None else None
    AdminService(proxy, configuration, admin.listen, admin.tokens, clock, logs, tls).setServiceParent(services)
    _on_signals(clock, configuration, logs)
    return services


def _first(configuration: Configuration) -> None:
    """The configuration to start with; there is none to fall back on."""
    try:
        text = read(configuration.file)
    except OSError as error:
        raise ConfigErrors([Problem(configuration.file, 1, 1, "", str(error.strerror))]) from error
    problems, _ = configuration.check(text)
    if problems:
        raise ConfigErrors(problems)
    errors = configuration.reload()
    if errors:
        raise OSError("\n".join(errors))


def _on_signals(reactor: Any, configuration: Configuration, logs: LogFiles) -> None:
    """SIGHUP: reload; SIGUSR1: reopen the access logs (after a rotation)."""
    calls = {signal.SIGHUP: partial(configuration.soon, configuration.reload), signal.SIGUSR1: logs.reopen}
    reactor.callWhenRunning(
        lambda: [signal.signal(one, lambda *_, call=call: reactor.callFromThread(call)) for one, call in calls.items()]
    )
