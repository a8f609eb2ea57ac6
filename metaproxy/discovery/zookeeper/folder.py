"""
Servers from the nodes of ZooKeeper: the children of one node, or of those that Dubbo's mapping of an interface names.

Lives here: `Folder`, `Mapping`. Does not: watches (`session`), the form of an entry (`dubbo`, `instances`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from metaproxy.discovery.instances import MAX_ENTRY, Instance, read_entry
from metaproxy.discovery.zookeeper.dubbo import Provider, Rule, is_url, read_provider, read_rule, with_rules
from metaproxy.discovery.zookeeper.session import Session, Watch

MOST = 10_000
"""Children of a node that are read."""
MAX_APPLICATIONS = 64
"""That one interface may be mapped to."""
PROVIDERS, CONFIGURATORS = "/providers", "/configurators"

Failed = Callable[[str], None]


class Folder:
    """
    The servers that the children of a node stand for: by their names, where these are URLs as Dubbo writes them, else
    by their content. changed: called whenever they may be others, once they are all known.
    """

    def __init__(self, session: Session, path: str, changed: Callable[[], None], failed: Failed) -> None:
        self.ready = False
        self._is_listed = False
        self._session = session
        self._path = path
        self._changed = changed
        self._failed = failed
        self._providers: dict[str, Provider | None] = {}
        self._entries: dict[str, list[Instance]] = {}
        self._content: dict[str, Watch[bytes]] = {}
        self._rules: dict[str, Rule | None] = {}
        self._names = session.children(path, self._listed, self._unreadable)
        self._configurators: Watch[list[str]] | None = None
        if path.endswith(PROVIDERS):
            beside = path.removesuffix(PROVIDERS) + CONFIGURATORS
            self._configurators = session.children(beside, self._ruled, self._unreadable)

    def stop(self) -> None:
        for watch in self._watches():
            watch.stop()

    def instances(self) -> list[Instance]:
        known = [one for one in self._providers.values() if one is not None]
        listed = with_rules(known, [rule for rule in self._rules.values() if rule is not None])
        return [*listed, *(one for entry in self._entries.values() for one in entry)]

    def _watches(self) -> Iterable[Watch[bytes] | Watch[list[str]]]:
        yield self._names
        if self._configurators is not None:
            yield self._configurators
        yield from self._content.values()

    def _report(self) -> None:
        if self.ready or (self._is_listed and all(watch.ready for watch in self._watches())):
            self.ready = True
            self._changed()

    # -- answers

    def _listed(self, names: list[str] | None) -> None:
        names = names or []
        if len(names) > MOST:
            self._failed(f"{self._path}: {len(names)} children; allowed are {MOST}")
            return
        self._is_listed = True
        wanted = set(names)
        self._providers = {name: self._provider(name) for name in sorted(wanted) if is_url(name)}
        for name in [name for name in self._content if name not in wanted]:
            self._content.pop(name).stop()
            self._entries.pop(name, None)
        for name in sorted(wanted - self._providers.keys() - self._content.keys()):
            self._read(name)
        self._report()

    def _provider(self, name: str) -> Provider | None:
        if name in self._providers:
            return self._providers[name]
        try:
            return read_provider(name)
        except ValueError as error:
            self._failed(f"{self._path}: {error}")
            return None

    def _read(self, name: str) -> None:
        def found(data: bytes | None) -> None:
            self._take(name, data)

        self._content[name] = self._session.data(f"{self._path.rstrip('/')}/{name}", found, self._unreadable)

    def _take(self, name: str, data: bytes | None) -> None:
        before = self._entries.get(name)
        entry: list[Instance] = []
        try:
            entry = read_entry(data, name) if data is not None else []
        except ValueError as error:
            self._failed(f"{self._path}/{name}: {error}")
        if entry != before or not self.ready:
            self._entries[name] = entry
            self._report()

    def _ruled(self, names: list[str] | None) -> None:
        rules: dict[str, Rule | None] = {}
        for name in (names or [])[:MOST]:
            try:
                rules[name] = read_rule(name) if is_url(name) else None
            except ValueError as error:
                self._failed(f"{self._path.removesuffix(PROVIDERS)}{CONFIGURATORS}: {error}")
        if rules != self._rules or not self.ready:
            self._rules = rules
            self._report()

    def _unreadable(self, text: str) -> None:
        self._failed(text)
        if not self.ready:  # what can't be read is not waited for
            self._report()


class Mapping:
    """
    The servers of an interface whose providers register by application: the content of the node is the applications'
    names, with commas between, and each is a folder under `services`.
    """

    def __init__(self, session: Session, path: str, services: str, changed: Callable[[], None], failed: Failed) -> None:
        self._session = session
        self._path = path
        self._services = services.rstrip("/")
        self._changed = changed
        self._failed = failed
        self._folders: dict[str, Folder] = {}
        self._names = session.data(path, self._mapped, failed)

    @property
    def ready(self) -> bool:
        return self._names.ready and all(folder.ready for folder in self._folders.values())

    def stop(self) -> None:
        self._names.stop()
        for folder in self._folders.values():
            folder.stop()

    def instances(self) -> list[Instance]:
        return [one for folder in self._folders.values() for one in folder.instances()]

    def _mapped(self, data: bytes | None) -> None:
        text = (data or b"")[:MAX_ENTRY].decode("utf-8", "replace")
        names = sorted({name.strip() for name in text.split(",")} - {""})
        if len(names) > MAX_APPLICATIONS:
            self._failed(f"{self._path}: {len(names)} applications; allowed are {MAX_APPLICATIONS}")
            return
        for name in [name for name in self._folders if name not in names]:
            self._folders.pop(name).stop()
        for name in names:
            if name not in self._folders and "/" not in name:
                path = f"{self._services}/{name}"
                self._folders[name] = Folder(self._session, path, self._report, self._failed)
        self._report()

    def _report(self) -> None:
        if self.ready:
            self._changed()
