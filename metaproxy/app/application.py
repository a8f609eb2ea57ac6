"""
Where the configuration comes from, from the start to the end: the file, the admin API, and every other source.

Lives here: `Application`, whose `apply` is the one entrance for all sources, and watching files. Does not: what is kept
of a source (`sources`), what a configuration means (`check`, `build`), what runs (`service`), the start (`start`).

Longer than most modules: every source changes the same state, and each step of a change can be refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from metaproxy.admin.roles import ControlPlanes, Counted, Difference, Json, MeshStatus, Refusal, Upgrades
from metaproxy.app.contexts import Contexts
from metaproxy.app.difference import difference
from metaproxy.app.parts import Part, clashes, has_replaced, owned, together
from metaproxy.app.process import settle_memory
from metaproxy.app.register import Register
from metaproxy.app.service import ProxyService
from metaproxy.app.sources import Refusals, Source, count_of, file_stamp, is_open, stamps_of, written_runtime
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.check import Problem, check, plugin_folders
from metaproxy.config.delta import Changes, changes
from metaproxy.config.made import check_made
from metaproxy.config.masking import as_data
from metaproxy.config.named_files import Confinement, NamedFile, named_files
from metaproxy.config.schema.load import Loader, load_own, read
from metaproxy.config.schema.nodes import Scalar
from metaproxy.config.slices import Slices, in_reactor, wait
from metaproxy.config.tls import AdminContexts, CertificateError, admin_options
from metaproxy.config.value_check import Before, check_value
from metaproxy.config.values import Context
from metaproxy.plugins import Registry
from metaproxy.proxy.snapshot import Snapshot
from metaproxy.telemetry.roles import XdsCounts

log = Logger()

MAX_LISTED = 20
"""Listeners that a line of the log names."""
LOOK_EVERY = 1.0
"""Seconds between looks at the configuration's file and the drop-in folders."""


class Workers(Protocol):
    """The worker processes, where there are some; see workers.supervisor."""

    def prepare(
        self, config: model.Config, folders: Sequence[Path], stamps: Mapping[Path, object]
    ) -> Deferred[list[str]]:
        """Have all build a configuration. Fires with the lines of what is wrong; `commit` or `discard` follows."""

    def commit(self) -> None:
        """What was prepared is in force."""

    def discard(self) -> None:
        """What was prepared does not come into force."""


class Application(Service):
    """
    The configuration in force, and the ways to change it.

    file: the path of the configuration's file. config: what is in force: the base, which is the file or what was put in
    its place, with the parts that other sources contribute. reloads: how many were applied and refused. live: values of
    `runtime:`
    that were changed since the start; they stay in later configurations that have the name; defaults: what the
    configuration says of them. admin_tls: what connections to the admin API begin with, if it speaks TLS. slices: all
    that checks or applies a configuration runs in them, one after the other, so that a large one delays no exchange.
    changed: called behind each configuration that came into force. workers: the processes that have the connections,
    None where it is this one. begins: called with the first configuration before it is applied.
    """

    name = "configuration"

    def __init__(
        self,
        file: str,
        folders: Iterable[str],
        proxy: ProxyService,
        builder: Builder,
        reactor: IReactorTime,
        loader: Loader = load_own,
    ) -> None:
        self.file = file
        self._loader = loader
        self._source = Source(file)
        self.folder = Path(file).absolute().parent
        self.changed: list[Callable[[], object]] = []
        self.config = self._base = model.Config()
        self._parts: dict[str, Part] = {}
        self._register = Register()
        self._contexts = Contexts(builder.registry, builder.injected, self.folder)
        self.applied = 0.0
        self._refusals = Refusals()
        self.reloads: Counted = {"applied": 0, "refused": 0}
        self.folders = [Path(folder).absolute() for folder in folders]
        self._proxy = proxy
        self._registry = builder.registry
        self._builder = builder
        self.live: dict[str, Scalar] = {}
        self.defaults: Mapping[str, object] = {}
        self.admin_tls: AdminContexts | None = None
        self.mesh: Callable[[], MeshStatus | None] | None = None
        self.xds: ControlPlanes | None = None
        self.upgrades: Upgrades | None = None
        self.workers: Workers | None = None
        self.begins: Callable[[model.Config], None] | None = None
        self._open = False  # whether everybody who reaches the admin API may ask everything
        self._files: list[NamedFile] = []
        self._file_stamps: Mapping[Path, object] = {}
        self._seen: object = None
        self.slices = Slices(reactor)
        self._file_waits = False  # it was refused, and nothing was put in force since
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor

    @property
    def base(self) -> model.Config:
        """The file, or what was put in its place, without the parts of other sources."""
        return self._base

    @property
    def text(self) -> str:
        """The base in force as it was written; '' when its source is no text."""
        return self._source.written

    @property
    def refused(self) -> Refusal | None:
        """The last configuration that was refused, unless one of its source was applied after it."""
        return self._refusals.last

    # -- the entrance

    def apply(self, config: model.Config, source: Source | str) -> list[str]:
        """
        Put a configuration in force as the base, wherever it came from. Return the lines of what is wrong with it, []
        when it is in force; when it is refused the one before stays in force.

        source: the name of a source of values, such as that of an API, whose configurations are checked here; or what
        is known of a text that was checked already.
        """
        self.slices.enter()
        if not self.applied and self.begins is not None:
            self.begins(config)
        source = source if isinstance(source, Source) else Source(source)
        config = replace(config, source=source.name)
        stamps = source.stamps or stamps_of(config)  # before files are read: a later change is seen at the next look
        plugins = source.plugins or self._plugins(config.plugins)
        whole = together(config, self._parts)
        stamps, changed = stamps_of(whole, stamps), changes(self.config, whole)
        checked = source.text is not None and not self._parts
        lines = [] if checked else clashes(config, self._parts) or self._wrong(whole, plugins, changed)
        warnings = config.warnings
        if not lines and source.text is None:
            problems, odd = check_made(config, plugins, self._builder.injected, os.environ)
            lines, warnings = [f"{one.path}: {one.text}" for one in problems], tuple(odd)
        if not lines:
            before = self._registry.copy()
            self._registry.take(plugins)
            files = self._files_of(config, source)
            lines = self._run(whole, stamps, warnings, changed)
            if lines:
                self._registry.take(before)
            else:
                self._log_plugin_errors(before)
        if lines:
            return self._refuse(owned(lines, source.name, config, self._parts), source.name)
        self._files = files
        self._note(config, source)
        self._in_force(whole, stamps, changed)
        return []

    def _files_of(self, config: model.Config, source: Source) -> list[NamedFile]:
        """Return the files that an admin API without tokens may name: those that the proxy's own file names."""
        if source.confined is None and source.name == self.file:
            return [*named_files(config, self._registry.load)]
        return self._files

    def contribute(self, source: str, part: Part) -> list[str]:
        """
        Add the listeners and clusters of another source, such as an xDS server, to the base, in the place of those that
        it contributed before. Return the lines of what is wrong; [] when they are in force. When they are refused, what
        was in force before stays so.

        Run it in `slices`, as all that applies a configuration.
        """
        return self._with_parts({**self._parts, source: part}, source, part.warnings)

    def withdraw(self, source: str) -> list[str]:
        """Remove what a source contributed. Return the lines of why that can't be; [] when it is gone."""
        if source not in self._parts:
            self._refusals.drop(source)
            return []
        return self._with_parts({name: part for name, part in self._parts.items() if name != source}, source, ())

    def _with_parts(self, parts: dict[str, Part], source: str, warnings: Iterable[Problem]) -> list[str]:
        self.slices.enter()
        if not self.applied:
            return [f"{source}: no configuration is in force that it could be added to"]
        whole = together(self._base, parts)
        changed = changes(self.config, whole)
        stamps = self._register.stamps_of(whole, changed, self._file_stamps)
        lines = self._clashes(whole, parts, changed) or self._wrong(whole, self._registry, changed)
        lines = lines or self._run(whole, stamps, warnings, changed)
        if lines:
            return self._refuse(owned(lines, source, self._base, {**self._parts, **parts}), source, source)
        self._parts = parts
        self._contexts.forget(source, parts.get(source, Part()))
        self._refusals.drop(source)
        self._in_force(whole, stamps, changed)
        return []

    def clusters_but(self, source: str) -> list[Sequence[model.Cluster]]:
        """Return the clusters of the base and of every source but one."""
        return [self._base.clusters, *(part.clusters for name, part in self._parts.items() if name != source)]

    def reading(self, source: str) -> Context:
        """
        Return what the sections of a source are read with now; see `config.values`. It is another one when plugins,
        secrets or the node have changed: what was read with the one before may mean something else.
        """
        return self._contexts.of(source, self.config, self._file_stamps)

    def _clashes(self, whole: model.Config, parts: Mapping[str, Part], changed: Changes) -> list[str]:
        """As `clashes`, which looks at all sections only where there may be one."""
        if has_replaced(self._base) or self._register.may_clash(self.config, whole, changed):
            return clashes(self._base, parts)
        return []

    def _wrong(self, config: model.Config, plugins: Registry, changed: Changes) -> list[str]:
        before, known = None, self._register
        same_plugins = self.applied and plugins.generation == self._registry.generation
        if same_plugins and not known.may_clash(self.config, config, changed):
            reach = self._builder.reach
            before = Before(changed, known.known_clusters(changed), reach.users_of, reach.fallbacks)
        return check_value(config, plugins, self._builder.injected, before)

    def _run(
        self, config: model.Config, stamps: Mapping[Path, object], warnings: Iterable[Problem], changed: Changes
    ) -> list[str]:
        """
        Build a configuration and have the proxy run it. Return why it can't, with nothing changed then. stamps: of the
        files that it refers to; changed: since the one in force.
        """
        snapshot: Snapshot | None = None
        try:
            snapshot = self._builder.build(config, stamps, changed if self.applied else None)
            tls = admin_options(config.admin.tls) if self.admin_tls is not None and config.admin.tls else None
            lines = self._prepare(config, stamps)
            if lines:
                self._builder.discard(snapshot)
                return lines
            in_reactor(partial(self._proxy.apply, snapshot))
        except BaseException as error:
            if self.workers is not None:
                in_reactor(self.workers.discard)
            if snapshot is not None:
                self._builder.discard(snapshot)
            if isinstance(error, (OSError, CertificateError)):
                return [str(getattr(error, "strerror", None) or error)]
            # A plugin that works once, when it is checked, or a bug of ours: neither may end the watch.
            log.failure("{source}: could not be put in force", source=config.source)
            return [f"{type(error).__name__}: {error}"]
        if self.workers is not None:
            # First: new listeners accept by now, and what follows lets the reactor go on in between.
            in_reactor(self.workers.commit)
        self._builder.commit(snapshot)
        if self.admin_tls is not None and tls is not None:
            self.admin_tls.options = tls
        self._log_change(config, snapshot, warnings)
        return []

    def _prepare(self, config: model.Config, stamps: Mapping[Path, object]) -> list[str]:
        """Have the worker processes build a configuration. Return what is wrong; then none of them has it."""
        workers = self.workers
        if workers is None:
            return []
        lines = wait(in_reactor(partial(workers.prepare, config, self._registry.folders, stamps)))
        if lines:
            in_reactor(workers.discard)
        return lines

    def _note(self, config: model.Config, source: Source) -> None:
        """Keep what is known of the base that is in force now."""
        if not self.applied:
            self._open = is_open(config.admin)
            settle_memory()
        self._base = config
        self._source = replace(source, plugins=None, stamps={})
        self._file_waits = False
        self._refusals.drop()
        self.live = {name: value for name, value in self.live.items() if name in config.runtime}
        written = source.text is not None and self.live
        self.defaults = written_runtime(source.text or "", self.file, self._loader) if written else dict(config.runtime)

    def _in_force(self, config: model.Config, stamps: Mapping[Path, object], changed: Changes) -> None:
        """stamps: of the files that it refers to, from before they were read: a later change is seen."""
        self.config = config
        self._register.commit(changed)
        self._file_stamps = stamps
        self.applied = time.time()
        self.reloads["applied"] += 1
        for hear in self.changed:
            hear()

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
        return (problems, None) if config is None else ([], difference(self._base, config))

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
        known = [cluster.name for part in self._parts.values() for cluster in part.clusters]
        return check(
            text, source, plugins, folder=self.folder, injected=injected, runtime=self.live, confined=confined,
            clusters=known, loader=self._loader,
        )  # fmt: skip

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

    def xds_status(self) -> Json | None:
        """Return how the control planes of `xds:` do; None when there is none."""
        return self.xds.status() if self.xds is not None else None

    def envoy_dump(self) -> Json:
        """Return envoy.admin.v3.ConfigDump of what the control planes gave."""
        return self.xds.dump() if self.xds is not None else {"configs": []}

    @property
    def xds_counts(self) -> Mapping[str, XdsCounts]:
        """What is counted of each control plane."""
        return self.xds.counts if self.xds is not None else {}

    def mesh_status(self) -> MeshStatus | None:
        """Return what became of the objects of `crds:`; None when there is no such key."""
        return self.mesh() if self.mesh is not None else None

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
        stamps = {path: file_stamp(str(path)) for path in self._file_stamps}  # all that the one in force refers to
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
        waits, refused, source = self._file_waits, self._refusals.of(), self._source
        if source.text is None:
            lines = self.apply(self._base, source)
        else:
            lines = self.apply_text(source.written, source.name, confined)
        if not lines and waits and refused is not None:
            self._file_waits = waits
            self._refusals.keep(refused)
        return lines

    # -- plugins and files

    def _plugins_for(self, text: str | bytes, confined: Confinement | None = None) -> Registry:
        """Return the plugins as they are now in the folders that a text names; those in use stay as they are."""
        folders = plugin_folders(text, self.file)
        return self._plugins(folders if confined is None else confined.folders(folders))

    def _plugins(self, folders: Iterable[Path]) -> Registry:
        plugins = self._registry.copy()
        plugins.refresh([*folders, *self.folders])
        return plugins

    def _confinement(self) -> Confinement | None:
        """
        Return what the admin API may name while it is open to everybody: the files that the last configuration that
        came from elsewhere names.
        """
        return Confinement(self._files) if self.applied and self._open else None

    # -- the log

    def _refuse(self, lines: list[str], source: str, part: str = "") -> list[str]:
        """part: the source of a part, if it is one that is refused."""
        self.reloads["refused"] += 1
        self._refusals.keep({"time": time.time(), "source": source, "errors": lines}, part)
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

    def _log_change(self, config: model.Config, snapshot: Snapshot, warnings: Iterable[Problem]) -> None:
        for warning in warnings:
            log.warn("{warning}", warning=str(warning))
        for key in ("admin", "workers", "pin_workers"):
            if self.applied and getattr(config, key) != getattr(self.config, key):
                log.warn("{file}: {key}: takes effect at the next start", file=self.file, key=key)
        first = list(islice(self._proxy.listeners.values(), MAX_LISTED))
        where = ", ".join(f"{one.name} at {' '.join(one.bound()) or 'no address'}" for one in first) or "no listeners"
        if len(self._proxy.listeners) > len(first):
            where += f" and {len(self._proxy.listeners) - len(first)} more"
        log.info("configuration {version} in force: {listeners}", version=snapshot.version, listeners=where)
