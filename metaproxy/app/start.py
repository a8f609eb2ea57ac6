"""
The start of the process: a configuration is checked, services are made, signals are connected.

Lives here: `check_file`, `make_services`, `on_signals`, `on_upgrade`. Does not: what happens after the start
(`application`), options of the command line (`tap`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import cast

from twisted.application.service import MultiService
from twisted.internet.task import Clock
from twisted.logger import Logger

from metaproxy.admin.roles import IReactor
from metaproxy.app.application import Application
from metaproxy.app.carried import Carried
from metaproxy.app.crds import Crds
from metaproxy.app.handover import Handed, handed_over
from metaproxy.app.pid_file import PidFile
from metaproxy.app.predecessor import RunningProxy
from metaproxy.app.process import collect_seldom, keep_freed_memory, raise_file_limit
from metaproxy.app.processes import Processes
from metaproxy.app.service import ProxyService
from metaproxy.app.sources import count_of
from metaproxy.app.successor import follow, live_of
from metaproxy.app.systemd import Notifier, first_environment, sockets_of
from metaproxy.app.texts import loader_of
from metaproxy.app.upgrade import Upgrade, upgrades
from metaproxy.app.xds import Xds
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.check import ConfigErrors, Problem, check, plugin_folders
from metaproxy.config.plugin_problems import file_problems, try_unused
from metaproxy.config.schema.load import read
from metaproxy.config.tls import AdminContexts, admin_options
from metaproxy.plugins import Registry
from metaproxy.support import addresses
from metaproxy.support.inherited import ADMIN, InheritedSockets
from metaproxy.telemetry.access_log.filter import LogFiles

log = Logger()


def check_file(file: str, folders: Iterable[str], lenient: bool = False) -> str:
    """
    Return a report of a configuration that is right, with its warnings. Raises ConfigErrors. lenient: see `texts`.
    """
    try:
        text = read(file)
    except OSError as error:
        raise ConfigErrors([Problem(file, 1, 1, "", str(error.strerror))]) from error
    registry = Registry([*plugin_folders(text, file), *folders])
    config, problems = check(text, file, registry, loader=loader_of(lenient))
    try_unused(registry, {"clock": Clock(), "node": model.Node()})
    # The cause first: what a configuration misses may be in a file that can't be loaded.
    problems = [*dict.fromkeys([*file_problems(registry.errors), *problems])]
    if config is None or problems:
        raise ConfigErrors(problems)
    lines = [str(warning) for warning in config.warnings]
    if config.crds is not None and config.crds.folder is not None:
        from metaproxy.app.mesh_check import check_objects

        wrong, odd = check_objects(config.crds.folder, config.crds, config.node)
        if wrong:
            raise ConfigErrors(wrong)
        lines += odd
    warnings = "".join(f"warning: {line}\n" for line in lines)
    found = f"{count_of(config.listeners, 'listener')}, {count_of(config.clusters, 'cluster')}"
    return f"{warnings}{file}: {found}; nothing is wrong\n"


def make_services(
    file: str, folders: Iterable[str], lenient: bool = False, twistd: MutableMapping[str, object] | None = None
) -> MultiService:
    """
    Make all that `twistd metaproxy` runs. lenient: see `texts`; twistd: its own options. Raises ConfigErrors, or
    OSError for an address that can't be had.
    """
    handed = handed_over(os.environ)
    try:
        return _services(file, folders, lenient, twistd or {}, handed)
    except (ConfigErrors, OSError) as error:
        if handed is not None:
            handed.give_up(str(error))
        raise


def _services(
    file: str,
    folders: Iterable[str],
    lenient: bool,
    twistd: MutableMapping[str, object],
    handed: Handed | None,
) -> MultiService:
    from twisted.internet import reactor

    from metaproxy.admin.service import AdminService
    from metaproxy.proxy.flush_queue import FlushQueue
    from metaproxy.proxy.transport import Network

    clock = cast(IReactor, reactor)
    raise_file_limit()
    collect_seldom()
    keep_freed_memory()
    registry = Registry()
    given = handed.sockets if handed is not None else sockets_of(first_environment())
    inherited = InheritedSockets(given, waiting=handed is not None)
    network = Network(clock, FlushQueue(clock), inherited)
    proxy = ProxyService(network, registry)
    logs = LogFiles(clock)
    builder = Builder(registry, clock, logs)
    application = Application(file, folders, proxy, builder, clock, loader_of(lenient))
    processes = Processes(application, proxy, clock)
    application.begins = processes.begin
    xds = builder.injected["xds"] = Xds(application, proxy, builder.service_clusters, clock)
    if handed is not None:
        application.live = live_of(handed)
    _first(application)
    for path, trace in registry.errors.items():
        log.error("plugin {path} can't be loaded:\n{trace}", path=path, trace=trace)
    services = MultiService()
    logs.setServiceParent(services)
    application.setServiceParent(services)
    proxy.setServiceParent(services)
    if processes.workers is not None:
        processes.workers.setServiceParent(services)
    crds = Crds(application, clock)
    proxy.conditions.append(crds.is_ready)
    crds.setServiceParent(services)
    application.mesh = crds.status
    application.xds = xds
    xds.setServiceParent(services)
    admin = application.config.admin
    if not inherited.has(addresses.parse(admin.listen), ADMIN):
        addresses.must_be_free("admin.listen", admin.listen)
    tls = application.admin_tls = AdminContexts(admin_options(admin.tls)) if admin.tls is not None else None
    served = AdminService(
        proxy, application, admin.listen, admin.tokens, clock, logs, tls, builder.statements, inherited,
        processes.admin(),
    )  # fmt: skip
    served.setServiceParent(services)
    processes.follow(served.levels)
    notifier = Notifier(os.environ)
    carried = Carried(proxy, application, served.levels)
    running = RunningProxy(network, proxy, served, carried, PidFile(twistd), notifier, clock, processes.counted)
    upgrade = application.upgrades = upgrades(running, clock)
    on_signals(clock, application, [logs.reopen, *processes.reopens()])
    on_upgrade(clock, upgrade, notifier)
    if handed is None:
        clock.callWhenRunning(lambda: _serving(inherited, notifier))
    else:
        running.before = follow(handed, inherited, carried, network, served, proxy, upgrade, clock).over
    return services


def _serving(inherited: InheritedSockets, notifier: Notifier) -> None:
    """The reactor runs, in a process that was not started by another one."""
    for name in inherited.close_left():
        log.warn("systemd: socket {name} is no listener's; write the same address at `listen`", name=name)
    notifier.ready()


def _first(application: Application) -> None:
    """Apply the configuration to start with. Raises ConfigErrors or OSError: there is none to fall back on."""
    try:
        text = read(application.file)
    except OSError as error:
        raise ConfigErrors([Problem(application.file, 1, 1, "", str(error.strerror))]) from error
    problems, _ = application.check(text)
    if problems:
        raise ConfigErrors(problems)
    errors = application.reload()
    if errors:
        raise OSError("\n".join(errors))


def on_signals(reactor: IReactor, application: Application, reopen: Sequence[Callable[[], None]]) -> None:
    """SIGHUP: reload; SIGUSR1: reopen the access logs (after a rotation)."""

    def reopen_all() -> None:
        for one in reopen:
            one()

    _signals(reactor, {signal.SIGHUP: partial(application.soon, application.reload), signal.SIGUSR1: reopen_all})


def on_upgrade(reactor: IReactor, upgrade: Upgrade, notifier: Notifier) -> None:
    """SIGUSR2: upgrade. systemd hears of the end of the last process alone."""
    _signals(reactor, {signal.SIGUSR2: upgrade.by_signal})
    reactor.addSystemEventTrigger("before", "shutdown", lambda: None if upgrade.leaving else notifier.stopping())


def _signals(reactor: IReactor, calls: Mapping[signal.Signals, Callable[[], object]]) -> None:
    reactor.callWhenRunning(
        lambda: [signal.signal(one, lambda *_, call=call: reactor.callFromThread(call)) for one, call in calls.items()]
    )
