"""
What the resources of all servers became, each cached by its bytes.

Lives here: `BuiltResources`. Does not: translating one (`translate`), when it is put in force (`enforcement`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from google.protobuf.message import Message
from twisted.logger import Logger

from metaproxy.config import model
from metaproxy.xds.interest import Interest
from metaproxy.xds.offers import Offers
from metaproxy.xds.resource_types import BY_NAME
from metaproxy.xds.store import Change, Verdict
from metaproxy.xds.translate import PARTS, Built, ListenerForm, Need, Translator

log = Logger()

_WITH_SECTIONS, _REFERENCE = ("listeners", "clusters"), b"secret"
"""Kinds that may carry sections of our own files, and what a reference to a secret has in it."""


class BuiltResources:
    """
    translator: gives one for the resources of a server; tell: is called with what is odd in a resource; routes: the
    bytes of a RouteConfiguration that is in use; interest: what the resources in use need. offers: listeners and
    clusters that there are.
    """

    def __init__(
        self,
        translator: Callable[[str], Translator],
        routes: Callable[[Need], bytes | None],
        tell: Callable[[str], None],
        interest: Interest,
    ) -> None:
        self.offers = Offers()
        self._interest = interest
        self._static: dict[str, ListenerForm] = {}
        self._translator = translator
        self._routes = routes
        self._tell = tell
        self._used: dict[Need, Built] = {}
        self._looked: dict[str, dict[Need, Built]] = {}  # by kind
        self._values: dict[Need, bytes] = {}  # of resources that need parts
        self.parts: dict[str, dict[str, Message]] = {kind: {} for kind in PARTS}
        self._with_part: dict[tuple[str, str], dict[Need, None]] = {}  # kind and name -> resources that need it
        self._missing: dict[Need, None] = {}  # resources that can't be read without parts
        self._composed: dict[str, tuple[ListenerForm, bytes, model.Listener]] = {}  # by listener

    def __contains__(self, need: object) -> bool:
        return need in self._used

    def get(self, need: Need) -> Built | None:
        return self._used.get(need)

    # -- what comes

    def look(self, server: str, change: Change) -> Verdict:
        """Return what is wrong with the resources of a change."""
        kind, translator = change.kind.name, self._translator(server)
        refused, skipped = {}, {}
        for one in change.resources:
            need = Need(server, kind, one.name)
            built = self._build(translator, need, one.value)
            self._looked.setdefault(kind, {})[need] = built
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
            if need.kind == "routes":
                return self._look_at_routes(translator, need, value)
            if need.kind == "extensions":
                return self._look_at_extension(need, value)
            return translator.build(need.kind, value)
        except Exception as error:
            log.failure("xds {server}: {kind} {name}", server=need.server, kind=need.kind, name=need.name)
            return Built(error=f"metaproxy failed on it: {type(error).__name__}: {error}")

    def _look_at_routes(self, translator: Translator, need: Need, value: bytes) -> Built:
        """Routes mean something for the listeners that wait for them."""
        found = Built()
        for name, form in self._forms(need).items():
            listener, found = translator.with_routes(form, value)
            if listener is None:
                return found
            self._composed[name] = form, value, listener
        return found

    def _look_at_extension(self, extension: Need, value: bytes) -> Built:
        """The configuration of a filter means something for the listeners that have it."""
        message = BY_NAME["extensions"].message.FromString(value)
        for user in self._with_part.get(("extensions", extension.name), ()):
            translator = self._translator(user.server).with_extension(extension.name, message)
            found = translator.build(user.kind, self._values[user])
            if found.error or found.skipped:
                return Built(error=f"{user.kind} {user.name!r}: {found.error or found.skipped}")
        return Built()

    def _forms(self, routes: Need) -> dict[str, ListenerForm]:
        """Return the listeners that routes are for, that there are or that are looked at."""
        looked = [form for built in self._looked.get("listeners", {}).values() for form in built.listeners]
        found = {one.section.name: one for one in self.offers.waiting_for(routes)}
        return {**found, **{one.section.name: one for one in looked if one.rds == routes}}

    def use(self, server: str, change: Change) -> list[tuple[Need, Built]]:
        """Take a change without what was refused. Return what is new."""
        kind = change.kind
        new = []
        for one in change.resources:
            need, value = Need(server, kind.name, one.name), one.value
            built = self._looked.get(kind.name, {}).pop(need, Built())
            if kind.name in PARTS:
                self.parts[kind.name][need.name] = kind.message.FromString(value)
            new.append((need, self._use(need, built, value)))
            if kind.name == "routes":
                self.offers.routes_changed(need)
        for name in change.removed if kind.wildcard else ():
            self._forget(Need(server, kind.name, name))
        return new + (self._again(kind.name, [one.name for one in change.resources]) if kind.name in PARTS else [])

    def _use(self, need: Need, built: Built, value: bytes) -> Built:
        """Return what is used of a resource that has become this."""
        before = self._used.get(need)
        built = _kept(before, built)
        self._used[need] = built
        self._note(need, before, built)
        if any(one.kind in PARTS for one in built.needs):
            self._values[need] = value
        return built

    def _note(self, need: Need, before: Built | None, now: Built | None) -> None:
        """Keep what is known of all resources together."""
        for one in now.needs if now is not None else ():
            self._interest.add(one)
        for one in before.needs if before is not None else ():
            self._interest.remove(one)
        for one in before.needs if before is not None else ():
            if one.kind in PARTS:
                self._with_part[one.kind, one.name].pop(need, None)
        for one in now.needs if now is not None else ():
            if one.kind in PARTS:
                self._with_part.setdefault((one.kind, one.name), {})[need] = None
        self._values.pop(need, None)
        self._missing.pop(need, None)
        if now is not None and now.missing:
            self._missing[need] = None
        self.offers.replace(need, before, now)
        for form in before.listeners if before is not None else ():
            if form.section.name not in self.offers.listeners:
                self._composed.pop(form.section.name, None)

    def _again(self, kind: str, names: Iterable[str]) -> list[tuple[Need, Built]]:
        """Make what needs these parts again, as they are new."""
        again = []
        for need in dict.fromkeys(one for name in names for one in self._with_part.get((kind, name), ())):
            again.append((need, self._remake(need, self._values[need])))
        return again

    def read_again(self, value: Callable[[Need], bytes | None]) -> None:
        """
        Make again what may refer to a secret of the configuration, `{secret: NAME}`, as these have changed. value: the
        bytes of a resource that is in use.
        """
        for need in list(self._used):
            data = value(need) if need.kind in _WITH_SECTIONS else None
            if data is not None and _REFERENCE in data:
                self._remake(need, data)

    def _remake(self, need: Need, value: bytes) -> Built:
        """Make a resource that is in use again. What worked goes on where it can't be done now."""
        built = self._build(self._translator(need.server), need, value)
        if built.error:
            self._tell(f"xds {need.server}: {need.kind} {need.name!r}: {built.error}")
            built = replace(built, skipped=built.error)
        return self._use(need, built, value)

    def waiting(self, given_up: Callable[[Need], bool]) -> list[Need]:
        """Return the resources that can't be read without parts that may still come."""
        return [need for need in self._missing if any(not given_up(part) for part in self._used[need].missing)]

    def _forget(self, need: Need) -> None:
        before = self._used.pop(need, None)
        if before is not None:
            self._note(need, before, None)
        if need.kind in PARTS:
            self.parts[need.kind].pop(need.name, None)

    def drop(self, needs: Iterable[Need]) -> None:
        """Forget resources that nothing needs any more."""
        for need in needs:
            self._forget(need)

    def drop_server(self, server: str) -> None:
        """Forget the resources of a server."""
        self.drop([need for need in self._used if need.server == server])

    # -- what is made of it

    def set_static(self, forms: Mapping[str, ListenerForm]) -> None:
        """Take the listeners of the file that wait for routes."""
        for form in forms.values():
            if form.rds is not None:
                self._interest.add(form.rds)
        for form in self._static.values():
            if form.rds is not None:
                self._interest.remove(form.rds)
        self._static = dict(forms)
        self.offers.set_static(forms)

    def compose(self, form: ListenerForm) -> tuple[model.Listener | None, str]:
        """Return a listener with its routes, or None while they are not there or do not fit it, and why then."""
        if form.rds is None:
            return form.section, ""
        value = self._routes(form.rds)
        if value is None:
            return None, ""
        name = form.section.name
        known = self._composed.get(name)
        if known is not None and known[0] is form and known[1] == value:
            return known[2], ""
        listener, found = self._translator(form.rds.server).with_routes(form, value)
        if listener is None:
            return None, f"routes {form.rds.name!r}: {found.error}"
        self._composed[name] = form, value, listener
        return listener, ""


def _kept(before: Built | None, built: Built) -> Built:
    """Return what is used of a new version: what worked goes on to where the new one is beyond us, or waits."""
    if before is None or not (built.skipped or built.missing):
        return built
    kept = replace(built, clusters=before.clusters, listeners=before.listeners)
    return replace(kept, needs=tuple(dict.fromkeys([*before.needs, *built.needs])))
