"""
What the resources of all servers became, each cached by its bytes.

Lives here: `BuiltResources`. Does not: translating one (`translate`), when it is put in force (`enforcement`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from metaproxy.config import model
from metaproxy.xds.store import Change, Verdict
from metaproxy.xds.translate import Built, ListenerForm, Need, Translator


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
            built = translator.build(kind, one.value)
            if kind == "routes":
                built = self._look_at_routes(translator, need, one.value)
            self._looked[need] = built
            for text in built.warnings:
                self._tell(f"xds {server}: {text}")
            if built.error:
                refused[one.name] = built.error
            elif built.skipped:
                skipped[one.name] = built.skipped
                self._tell(f"xds {server}: {kind} {one.name!r} skipped: {built.skipped}")
        return Verdict(refused, skipped)

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
            need = Need(server, kind.name, one.name)
            built, before = self._looked.pop(need, Built()), self._used.get(need)
            if built.skipped and before is not None:  # what worked goes on to, as it would if this were refused
                built = replace(before, skipped=built.skipped, warnings=built.warnings)
            self._used[need] = built
            new.append((need, built))
        for name in change.removed if kind.wildcard else ():
            self._used.pop(Need(server, kind.name, name), None)
        return new

    def drop(self, needs: Iterable[Need]) -> None:
        """Forget resources that nothing needs any more, and what was made with them."""
        for need in needs:
            self._used.pop(need, None)
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
