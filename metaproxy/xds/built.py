"""
What the resources of all servers became, each cached by its bytes.

Lives here: `BuiltResources`. Does not: translating one (`translate`), when it is put in force (`enforcement`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from google.protobuf.message import Message
from twisted.logger import Logger

from metaproxy.config import model
from metaproxy.xds.store import Change, Verdict
from metaproxy.xds.translate import Built, ListenerForm, Need, Translator

log = Logger()


class BuiltResources:
    """
    translator: gives one for the resources of a server; tell: is called with what is odd in a resource. static: the
    listeners of the file that wait for routes; routes: the bytes of a RouteConfiguration that is in use.
    """

    def __init__(
        self,
        translator: Callable[[str], Translator],
        routes: Callable[[Need], bytes | None],
        tell: Callable[[str], None],
    ) -> None:
        self.static: dict[str, ListenerForm] = {}
        self._translator = translator
        self._routes = routes
        self._tell = tell
        self._used: dict[Need, Built] = {}
        self._looked: dict[Need, Built] = {}
        self._values: dict[Need, bytes] = {}  # of resources that need secrets
        self.secrets: dict[str, Message] = {}
        self._composed: dict[tuple[Need, str], tuple[ListenerForm, bytes, model.Listener]] = {}

    def __contains__(self, need: object) -> bool:
        return need in self._used

    def __iter__(self) -> Iterator[tuple[Need, Built]]:
        """Yield the resources that are in use."""
        return iter(self._used.items())

    def get(self, need: Need) -> Built | None:
        return self._used.get(need)

    # -- what comes

    def look(self, server: str, change: Change) -> Verdict:
        """Return what is wrong with the resources of a change."""
        kind, translator = change.kind.name, self._translator(server)
        refused, skipped = {}, {}
        for one in change.resources:
            need = Need(server, kind, one.name)
            built = self._looked[need] = self._build(translator, need, one.value)
            for text in built.warnings:
                self._tell(f"xds {server}: {text}")
            if built.error:
                refused[one.name] = built.error
            elif built.skipped:
                skipped[one.name] = built.skipped
                self._tell(f"xds {server}: {kind} {one.name!r} skipped: {built.skipped}")
        return Verdict(refused, skipped)

    def _build(self, translator: Translator, need: Need, value: bytes) -> Built:
        """Return what a resource becomes. A bug of ours refuses the resource, and no other."""
        try:
            built = translator.build(need.kind, value)
            return self._look_at_routes(translator, need, value) if need.kind == "routes" else built
        except Exception as error:
            log.failure("xds {server}: {kind} {name}", server=need.server, kind=need.kind, name=need.name)
            return Built(error=f"metaproxy failed on it: {type(error).__name__}: {error}")

    def _look_at_routes(self, translator: Translator, need: Need, value: bytes) -> Built:
        """Routes mean something for the listeners that wait for them."""
        found = Built()
        for form in self.forms():
            if form.rds == need:
                listener, found = translator.with_routes(form, value)
                if listener is None:
                    return found
                self._composed[need, form.section.name] = form, value, listener
        return found

    def use(self, server: str, change: Change) -> list[tuple[Need, Built]]:
        """Take a change without what was refused. Return what is new."""
        kind = change.kind
        new = []
        for one in change.resources:
            need, value = Need(server, kind.name, one.name), one.value
            built, before = self._looked.pop(need, Built()), self._used.get(need)
            self._values.pop(need, None)
            if any(one.kind == "secrets" for one in built.needs):
                self._values[need] = value
            if kind.name == "secrets":
                self.secrets[need.name] = kind.message.FromString(value)
            built = _kept(before, built)
            self._used[need] = built
            new.append((need, built))
        for name in change.removed if kind.wildcard else ():
            self._forget(Need(server, kind.name, name))
        return new + self._with_secrets({one.name for one in change.resources} if kind.name == "secrets" else set())

    def _with_secrets(self, names: set[str]) -> list[tuple[Need, Built]]:
        """Make what needs these secrets again, as they are new."""
        again = []
        for need, value in self._values.items():
            if any(one.kind == "secrets" and one.name in names for one in self._used[need].needs):
                built = self._build(self._translator(need.server), need, value)
                if built.error:
                    self._tell(f"xds {need.server}: {need.kind} {need.name!r}: {built.error}")
                    built = replace(built, skipped=built.error)
                self._used[need] = _kept(self._used[need], built)
                again.append((need, self._used[need]))
        return again

    def waiting(self, given_up: Callable[[Need], bool]) -> list[Need]:
        """Return the resources that can't be read without secrets that may still come."""
        return [need for need, one in self._used.items() if any(not given_up(secret) for secret in one.missing)]

    def _forget(self, need: Need) -> None:
        self._used.pop(need, None)
        self._values.pop(need, None)
        if need.kind == "secrets":
            self.secrets.pop(need.name, None)

    def drop(self, needs: Iterable[Need]) -> None:
        """Forget resources that nothing needs any more, and what was made with them."""
        for need in needs:
            self._forget(need)
        names = {form.section.name for form in self.forms()}
        self._composed = {key: one for key, one in self._composed.items() if key[0] in self._used and key[1] in names}

    def drop_server(self, server: str) -> None:
        """Forget the resources of a server."""
        self.drop([need for need in self._used if need.server == server])

    # -- what is made of it

    def forms(self) -> Iterator[ListenerForm]:
        """Yield the listeners that there are, or that are looked at."""
        yield from self.static.values()
        for need, built in {**self._used, **self._looked}.items():
            if need.kind == "listeners":
                yield from built.listeners

    def needs(self) -> Iterator[Need]:
        """Yield what the resources in use need."""
        for built in self._used.values():
            yield from built.needs
        for form in self.static.values():
            if form.rds is not None:
                yield form.rds

    def compose(self, form: ListenerForm) -> tuple[model.Listener | None, str]:
        """Return a listener with its routes, or None while they are not there or do not fit it, and why then."""
        if form.rds is None:
            return form.section, ""
        value = self._routes(form.rds)
        if value is None:
            return None, ""
        key = form.rds, form.section.name
        known = self._composed.get(key)
        if known is not None and known[0] is form and known[1] == value:
            return known[2], ""
        listener, found = self._translator(form.rds.server).with_routes(form, value)
        if listener is None:
            return None, f"routes {form.rds.name!r}: {found.error}"
        self._composed[key] = form, value, listener
        return listener, ""


def _kept(before: Built | None, built: Built) -> Built:
    """Return what is used of a new version: what worked goes on to where the new one is beyond us, or waits."""
    if before is None or not (built.skipped or built.missing):
        return built
    kept = replace(built, clusters=before.clusters, listeners=before.listeners)
    return replace(kept, needs=tuple(dict.fromkeys([*before.needs, *built.needs])))
