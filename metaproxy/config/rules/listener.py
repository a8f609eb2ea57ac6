"""
Rules on a listener by itself: its routes, its filters, and what its codec must know for them.

Lives here: `RULES`. Does not: the clusters that its routes name (`fit`); names of metadata keys (`known_keys`).
"""

from __future__ import annotations

from collections.abc import Iterator

from metaproxy.codecs.framing import Codec
from metaproxy.config import model
from metaproxy.config.known_keys import check_keys
from metaproxy.config.rules.addresses import is_local
from metaproxy.config.rules.certificates import check_start
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.leaf import entries
from metaproxy.config.schema.reading import Reading, Use, near
from metaproxy.interfaces import ICodec
from metaproxy.routing.pattern import compile_rewrite
from metaproxy.telemetry.inspect.statements import FINGERPRINT

RULES = Rules()


@RULES.of(model.Route)
def _some_weight(route: model.Route, reading: Reading) -> None:
    if route.clusters and not any(route.clusters.values()):
        reading.problem(reading.at(route, "clusters"), "all weights are 0; one at least must be above")


@RULES.of(model.Listener)
def _routes_can_be_reached(listener: model.Listener, reading: Reading) -> None:
    waits = isinstance(listener.routes, model.Rds)  # /problems says for what
    if not waits and not listener.routes and not hasattr(reading.codec(listener.protocol), "candidates"):
        reading.warn(reading.at(listener), "no routes; every request is answered with not_found")
    seen: dict[str, model.Route] = {}
    catch_all: model.Route | None = None
    for route in listener.routes:
        if route.name in seen:
            place = reading.at(seen[route.name], "name").place
            reading.problem(reading.at(route, "name"), f"a route {route.name!r} is there already, {place}")
        elif route.name:
            seen[route.name] = route
        if catch_all is not None:
            before = reading.at(catch_all)
            reading.warn(reading.at(route), f"never reached: {before.path}, {before.place}, takes every request")
        elif not route.match and route.percent == 100.0:
            catch_all = route


@RULES.of(model.Listener)
def _not_everybody_tells_who_clients_are(listener: model.Listener, reading: Reading) -> None:
    if listener.proxy_protocol is True and not all(map(is_local, listener.listen)):
        text = "anyone who connects may claim any address; write {trusted: [NETWORK]}, of the proxies in front"
        reading.warn(reading.at(listener, "proxy_protocol"), text)


@RULES.of(model.Listener)
def _tls_begins_where_it_can(listener: model.Listener, reading: Reading) -> None:
    tls = listener.tls
    check_start(tls, reading.codec(listener.protocol), reading)
    if tls is not None and tls.optional and tls.start != "protocol":
        reading.problem(reading.at(tls, "optional"), "has no effect without `start: protocol`; leave it out")


@RULES.of(model.Listener)
def _keys_are_known(listener: model.Listener, reading: Reading) -> None:
    codec = reading.codec(listener.protocol)
    if codec is not None:
        check_keys(listener, codec, reading)


@RULES.of(model.Listener)
def _mutations_are_possible(listener: model.Listener, reading: Reading) -> None:
    codec = reading.codec(listener.protocol)
    if codec is None or not codec.mutable:
        return
    text = f"messages of {listener.protocol.name} can't be changed: {codec.mutable}"
    for route in listener.routes:
        for key in ("request", "response"):
            if getattr(route, key) is not None:
                reading.problem(reading.at(route, key), text)


@RULES.of(model.Listener)
def _codecs_know_the_errors_of_filters(listener: model.Listener, reading: Reading) -> None:
    codec = reading.codec(listener.protocol)
    if codec is None:
        return
    for use in _filters(listener):
        for name in getattr(reading.built(use), "error_names", ()):
            if not codec.knows(name):
                reading.problem(reading.at(use), f"{use.name}: {listener.protocol.name} has no error {name!r}")


@RULES.of(model.Listener)
def _codecs_take_apart_what_filters_refuse_in_part(listener: model.Listener, reading: Reading) -> None:
    codec = reading.codec(listener.protocol)
    if codec is None:
        return
    known = getattr(codec, "parts", ())
    for use in _filters(listener):
        for key in getattr(reading.built(use), "parts", ()):
            if key not in known:
                instead = f"write one of {', '.join(known)}" if known else "leave `each` out"
                text = f"{use.name}: requests of {listener.protocol.name} can't be taken apart by {key!r}; {instead}"
                reading.problem(reading.at(use), text)


def _filters(listener: model.Listener) -> Iterator[Use]:
    """Those of the listener, and those of its routes that stand in their place."""
    yield from listener.filters
    for route in listener.routes:
        yield from (use for use in route.filters.values() if use is not None)


@RULES.of(model.Listener)
def _statements_are_told_apart(listener: model.Listener, reading: Reading) -> None:
    codec = reading.codec(listener.protocol)
    if codec is not None and listener.statements and FINGERPRINT not in codec.keys:
        text = f"requests of {listener.protocol.name} have no fingerprint; leave it out"
        reading.problem(reading.at(listener, "statements"), text)


@RULES.of(model.PathRewrite)
def _a_rewritten_path_names_groups_that_there_are(path: model.PathRewrite, reading: Reading) -> None:
    _names_groups(path, reading)


@RULES.of(model.KeyRewrite)
def _a_rewritten_key_names_groups_that_there_are(key: model.KeyRewrite, reading: Reading) -> None:
    _names_groups(key, reading)


@RULES.of(model.StatementRewrite)
def _a_rewritten_statement_names_groups_that_there_are(statement: model.StatementRewrite, reading: Reading) -> None:
    _names_groups(statement, reading)


def _names_groups(text: model.PathRewrite | model.StatementRewrite | model.KeyRewrite, reading: Reading) -> None:
    try:
        compile_rewrite(text.regex, text.to)
    except ValueError as error:
        reading.problem(reading.at(text, "to"), str(error))


@RULES.of(model.Listener)
def _what_is_rewritten_is_there(listener: model.Listener, reading: Reading) -> None:
    codec = reading.codec(listener.protocol)
    if codec is None:
        return
    for route in listener.routes:
        rewrite = route.rewrite
        if rewrite is None:
            continue
        for kind in ("statement", "key"):
            if getattr(rewrite, kind) is not None and _rewords(codec) != kind:
                text = f"requests of {listener.protocol.name} have no {kind}s that can be changed"
                reading.problem(reading.at(rewrite, kind), text)
        bare = rewrite.statement is None and rewrite.key is None
        http = bare or rewrite.path is not None or rewrite.host is not None
        if http and (codec.mutable or not {"path", "host"} <= codec.keys.keys()):
            text = f"requests of {listener.protocol.name} have no path and host that can be changed"
            reading.problem(reading.at(route, "rewrite"), text)


def _rewords(codec: ICodec) -> str:
    """What of requests it changes: statement, key, or nothing."""
    changes = getattr(type(codec), "reword", Codec.reword) is not Codec.reword
    return str(getattr(codec, "rewords", Codec.rewords)) if changes else ""


@RULES.of(model.Reply)
def _an_answer_says_which_it_is(reply: model.Reply, reading: Reading) -> None:
    if not reading.gives(reply, "error") and not reading.gives(reply, "name"):
        reading.problem(reading.at(reply), "neither error nor name; write which answer it is, such as {error: denied}")


@RULES.of(model.Listener)
def _replies_are_answers_of_the_protocol(listener: model.Listener, reading: Reading) -> None:
    codec = reading.codec(listener.protocol)
    if codec is None:
        return
    for route in listener.routes:
        reply = route.reply
        if reply is not None and reply.name and not codec.knows(reply.name):
            text = f"{listener.protocol.name} has no answer {reply.name!r}"
            reading.problem(reading.at(reply, "name"), text)
        if reply is not None and reply.set and codec.mutable:
            text = f"answers of {listener.protocol.name} carry no metadata: {codec.mutable}"
            reading.problem(reading.at(reply, "set"), text)


@RULES.of(model.Listener)
def _overrides_override_something(listener: model.Listener, reading: Reading) -> None:
    filters = {use.name for use in listener.filters}
    written = reading.at(listener, "filters").value if reading.gives(listener, "filters") else []
    if not isinstance(written, list) or len(written) != len(listener.filters):
        return  # one of them is reported already, and may be the one that is meant
    for route in listener.routes:
        for name in route.filters:
            if name not in filters:
                at = entries(reading.at(route, "filters"), "a mapping")[name]
                text = f"the listener has no filter {name!r}; {near(name, filters, 'filter')}"
                reading.problem(at, text, key=True)
