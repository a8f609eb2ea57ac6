"""
Where the configuration comes from, from the start to the end: the file, the admin API, and every other source.

Lives here: `Application`, whose `apply` is the one entrance for all sources, and watching files. Does not: what is kept
of a source (`sources`), what a configuration means (`check`, `build`), what runs (`service`), the start (`start`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import replace
from functools import partial
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from metaproxy.admin.roles import Counted, Difference, Names, Refusal
from metaproxy.app.process import settle_memory
from metaproxy.app.service import ProxyService
from metaproxy.app.sources import Source, file_stamp, stamps_of, written_runtime
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.check import Problem, check, plugin_folders
from metaproxy.config.difference import Changes, diff
from metaproxy.config.masking import as_data
from metaproxy.config.named_files import Confinement, NamedFile, named_files
from metaproxy.config.schema.load import Scalar, read
from metaproxy.config.slices import Slices, in_reactor
from metaproxy.config.tls import AdminContexts, CertificateError, admin_options
from metaproxy.config.value_check import check_value
from metaproxy.plugins import Registry
from metaproxy.proxy.snapshot import Snapshot

log = Logger()

LOOK_EVERY = 1.0
"""Seconds between looks at the configuration's file and the drop-in folders."""


class Application(Service):
    """
    The configuration in force, and the ways to change it.

    file: the path of the configuration's file. config: what is in force. refused: the last configuration that was
    refused, None after one that was applied. reloads: how many were applied and refused. live: values of `runtime:`
    that were changed since the start; they stay in later configurations that have the name; defaults: what the
    configuration says of them. admin_tls: what connections to the admin API begin with, if it speaks TLS. slices: all
    that checks or applies a configuration runs in them, one after the other, so that a large one delays no exchange.
    """

    name = "configuration"

    def __init__(
        self, file: str, folders: Iterable[str], proxy: ProxyService, builder: Builder, reactor: IReactorTime
    ) -> None:
        self.file = file
        self._source = Source(file)
        self._folder = Path(file).absolute().parent
        self.config = model.Config()
        self.applied = 0.0
        self.refused: Refusal | None = None
        self.reloads: Counted = {"applied": 0, "refused": 0}
        self._folders = [Path(folder).absolute() for folder in folders]
        self._proxy = proxy
        self._registry = builder.registry
        self._builder = builder
        self.live: dict[str, Scalar] = {}
        self.defaults: Mapping[str, object] = {}
        self.admin_tls: AdminContexts | None = None
        self._open = False  # whether everybody who reaches the admin API may ask everything
        self._files: list[NamedFile] = []
        self._file_stamps: dict[Path, object] = {}
        self._seen: object = None
        self.slices = Slices(reactor)
        self._file_waits = False  # it was refused, and nothing was put in force since
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor

    @property
    def text(self) -> str:
        """The configuration in force as it was written; '' when its source is no text."""
        return self._source.written

    # -- the entrance

    def apply(self, config: model.Config, source: Source | str) -> list[str]:
        """
        Put a configuration in force, wherever it came from. Return the lines of what is wrong with it, [] when it is
        in force; when it is refused the one before stays in force.

        source: the name of a source of values, such as that of an API, whose configurations are checked here; or what
        is known of a text that was checked already.
        """
        source = source if isinstance(source, Source) else Source(source)
        config = replace(config, source=source.name)
        stamps = source.stamps or stamps_of(config)  # before files are read: a later change is seen at the next look
        plugins = source.plugins or self._plugins(config.plugins)
        if source.text is None:
            lines = check_value(config, plugins, self._builder.injected)
            if lines:
                return self._refuse([f"{source.name}: {line}" for line in lines], source.name)
        before = self._registry.copy()
        self._registry.take(plugins)
        error = self._run(config)
        if error is not None:
            self._registry.take(before)
            return self._refuse([f"{source.name}: {error}"], source.name)
        self._log_plugin_errors(before)
        self._note(config, source, stamps)
        return []

    def _run(self, config: model.Config) -> str | None:
        """Build a configuration and have the proxy run it. Return why it can't, with nothing changed then."""
        try:
            snapshot = self._builder.build(config)
            tls = admin_options(config.admin.tls) if self.admin_tls is not None and config.admin.tls else None
            in_reactor(partial(self._proxy.apply, snapshot))
        except (OSError, CertificateError) as error:
            return str(getattr(error, "strerror", None) or error)
        except BaseException as error:
            # A plugin that works once, when it is checked, or a bug of ours: neither may end the watch.
            log.failure("{source}: could not be put in force", source=config.source)
            return f"{type(error).__name__}: {error}"
        in_reactor(partial(self._builder.commit, snapshot))
        if self.admin_tls is not None and tls is not None:
            self.admin_tls.options = tls
        self._log_change(config, snapshot)
        return None

    def _note(self, config: model.Config, source: Source, stamps: Mapping[Path, object]) -> None:
        """Keep what is known of the configuration that is in force now."""
        if not self.applied:
            self._open = is_open(config.admin)
            settle_memory()
        if source.confined is None and source.name == self.file:
            self._files = [*named_files(config, self._registry.load)]
        self.config, self.refused = config, None
        self._source = replace(source, plugins=None, stamps={})
        self._file_waits = False
        now = stamps_of(config)
        self._file_stamps = now | {path: stamp for path, stamp in stamps.items() if path in now}
        self.live = {name: value for name, value in self.live.items() if name in config.runtime}
        written = source.text is not None and self.live
        self.defaults = written_runtime(source.text or "", self.file) if written else dict(config.runtime)
        self.applied = time.time()
        self.reloads["applied"] += 1

    # -- texts

    def reload(self) -> list[str]:
        """Read the file again and apply it. Return the lines of what is wrong with it; [] when it is in force."""
        try:
            self._seen = file_stamp(self.file)
            text = read(self.file)
        except OSError as error:
            return self._refuse([f"{self.file}: {error.strerror}"], self.file)
        lines = self.apply_text(text)
        self._file_waits = bool(lines)
        return lines

    def apply_text(self, text: str | bytes, source: str = "", confined: Confinement | None = None) -> list[str]:
        """
        Check a text, and apply the configuration that it is. Return the lines of what is wrong; [] when it is in force.

        source: what errors call the text. confined: refuses files that are not named already.
        """
        source = source or self.file
        plugins = self._plugins_for(text, confined)
        stamps = stamps_of(self.config)
        config, problems = self._checked(text, source, plugins, confined, self._builder.injected)
        if config is None:
            self._registry.note_blame(plugins)
            return self._refuse([str(problem) for problem in problems], source)
        return self.apply(config, Source(source, text, confined, plugins, stamps))

    def put_text(self, text: str | bytes, source: str = "") -> list[str]:
        """As `apply_text`, for the admin API: without tokens a text can name no file that was not named before."""
        return self.apply_text(text, source, self._confinement())

    def check(
        self, text: str | bytes, source: str = "", confined: Confinement | None = None
    ) -> tuple[list[Problem], Difference | None]:
        """
        Return what is wrong with a text, or what it would change; change nothing. source, confined: see `apply_text`.
        Relative paths start from the folder of the proxy's own file, whatever the source.
        """
        config, problems = self._checked(text, source or self.file, self._plugins_for(text, confined), confined)
        return (problems, None) if config is None else ([], _difference(self.config, config))

    def check_put(self, text: str | bytes, source: str = "") -> tuple[list[Problem], Difference | None]:
        """As `check`, for the admin API; see `put_text`."""
        return self.check(text, source, self._confinement())

    def _checked(
        self,
        text: str | bytes,
        source: str,
        plugins: Registry,
        confined: Confinement | None,
        injected: Mapping[str, object] | None = None,
    ) -> tuple[model.Config | None, list[Problem]]:
        return check(
            text, source, plugins, folder=self._folder, injected=injected, runtime=self.live, confined=confined
        )

    # -- live values

    def set_live(self, name: str, value: Scalar) -> list[str]:
        """
        Give a value of `runtime:` another one; None: the one that is written. Return the lines of what is wrong with
        the configuration then; [] when it is in force. Raises KeyError for a name that it does not have.
        """
        if name not in self.config.runtime:
            raise KeyError(name)
        if self._source.text is None:
            return [f"the configuration comes from {self._source.name}, as values: change {name} there"]
        before = self.live
        self.live = {key: one for key, one in before.items() if key != name} | ({} if value is None else {name: value})
        lines = self._apply_again(self._confinement())
        if lines:
            self.live = before
        return lines

    def dump(self) -> dict[str, object]:
        """Return the configuration in force, with defaults, as JSON has it; secrets are masked."""
        shown = as_data(self.config)
        assert isinstance(shown, dict)
        return shown

    # -- watching

    def startService(self) -> None:
        super().startService()
        self._watch.start(LOOK_EVERY, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._watch.running:
            self._watch.stop()

    def _look(self) -> None:
        if self.slices.busy:  # the next look is a second later
            return
        if file_stamp(self.file) not in (self._seen, None):
            self.soon(self.reload)
            return
        before = self._registry.copy()
        changed = self._registry.refresh()
        if changed:
            self._log_plugin_errors(before)
        stamps = stamps_of(self.config)
        if changed or stamps != self._file_stamps:
            self._file_stamps = stamps
            self.soon(self._parts_changed)

    def soon(self, work: Callable[[], object]) -> None:
        """Run in slices what reads or applies a configuration."""
        self.slices.run(work).addErrback(lambda failure: log.failure("{file}: not applied", failure, file=self.file))

    def _parts_changed(self) -> None:
        """
        Apply what plugins and files are now. A file that was refused may have missed them, so it is tried first; if it
        is refused again, the configuration in force is applied with them.
        """
        if self._file_waits and not self.reload():
            return
        self._apply_again()

    def _apply_again(self, confined: Confinement | None = None) -> list[str]:
        """Apply the configuration in force again, as something that it refers to has changed."""
        waits, refused, source = self._file_waits, self.refused, self._source
        if source.text is None:
            lines = self.apply(self.config, source)
        else:
            lines = self.apply_text(source.written, source.name, confined)
        if not lines and waits:
            self._file_waits, self.refused = waits, refused
        return lines

    # -- plugins and files

    def _plugins_for(self, text: str | bytes, confined: Confinement | None = None) -> Registry:
        """Return the plugins as they are now in the folders that a text names; those in use stay as they are."""
        folders = plugin_folders(text, self.file)
        return self._plugins(folders if confined is None else confined.folders(folders))

    def _plugins(self, folders: Iterable[Path]) -> Registry:
        plugins = self._registry.copy()
        plugins.refresh([*folders, *self._folders])
        return plugins

    def _confinement(self) -> Confinement | None:
        """
        Return what the admin API may name while it is open to everybody: the files that the last configuration that
        came from elsewhere names.
        """
        return Confinement(self._files) if self.applied and self._open else None

    # -- the log

    def _refuse(self, lines: list[str], source: str) -> list[str]:
        self.reloads["refused"] += 1
        self.refused = {"time": time.time(), "source": source, "errors": lines}
        if self.applied:
            when = time.strftime("%H:%M:%S", time.localtime(self.applied))
            log.error(
                "{errors}\n{count}; the configuration loaded at {when} stays in force",
                errors="\n".join(lines), count=count_of(lines, "error"), when=when,
            )  # fmt: skip
        return lines

    def _log_plugin_errors(self, before: Registry) -> None:
        for path, trace in self._registry.errors.items():
            if self.applied and before.errors.get(path) != trace:
                log.error("plugin {path} can't be loaded:\n{trace}", path=path, trace=trace)

    def _log_change(self, config: model.Config, snapshot: Snapshot) -> None:
        for warning in config.warnings:
            log.warn("{warning}", warning=str(warning))
        if self.applied and config.admin != self.config.admin:
            log.warn("{file}: admin: takes effect at the next start", file=self.file)
        listeners = [f"{one.name} at {' '.join(one.bound()) or 'no address'}" for one in self._proxy.listeners.values()]
        where = ", ".join(listeners) or "no listeners"
        log.info("configuration {version} in force: {listeners}", version=snapshot.version, listeners=where)


def is_open(admin: model.Admin) -> bool:
    """Return whether the admin API answers everybody: no tokens, client certificates, or socket of one user."""
    known = admin.tokens is not None or (admin.tls is not None and admin.tls.client_ca is not None)
    return not known and not admin.listen.startswith("unix:")


def _difference(old: model.Config, new: model.Config) -> Difference:
    found = diff(old, new)
    return {
        "listeners": _names(found.listeners),
        "clusters": _names(found.clusters),
        "sections": found.sections,
        "warnings": [str(warning) for warning in new.warnings],
    }


def _names(changes: Changes) -> Names:
    return {"added": changes.added, "changed": changes.changed, "removed": changes.removed}


def count_of(things: Sized, name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"
