"""
Envoy's routes of HTTP: virtual hosts and their routes, as one list of ours.

Lives here: `routes_of_http`, destinations, rewrites, answers of the proxy's own. Does not: conditions
(`http_matching`), headers (`http_mutation`), retries and filters (`http_policies`, `http_filters`).

Envoy looks for the virtual host first, and then among its routes only. Ours are one list: the routes of each host have
its domains as a condition, those of exact domains first, and behind them one that answers not_found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metaproxy.envoy import http_policies as policies
from metaproxy.envoy.data_sources import inline_of
from metaproxy.envoy.fields import Fields, number, shown_seconds, without_empty
from metaproxy.envoy.http_filters import FILTER_CONFIG, KEEPING_OUT, route_filters
from metaproxy.envoy.http_matching import add, add_domains, add_request, domains_of, key_of, quoted
from metaproxy.envoy.http_mutation import Changes
from metaproxy.envoy.metaprotocol import Names, mirror_of, runtime_percent
from metaproxy.envoy.report import Unusable
from metaproxy.envoy.routing import subset_of
from metaproxy.envoy.tables import Chain, Plain

_REDIRECTS = {
    "MOVED_PERMANENTLY": "301",
    "FOUND": "302",
    "SEE_OTHER": "303",
    "TEMPORARY_REDIRECT": "307",
    "PERMANENT_REDIRECT": "308",
}
_GROUP = re.compile(r"\\[0-9]")
MAX_BODY = 1024
"""Bytes of an answer of the proxy's own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a route stands: its table and its virtual host. grpc: the listener's codec is `grpc`."""

    chain: Chain
    table: Fields
    host: Fields
    grpc: bool

    def changes(self, route: Fields, side: str, weight: Fields | None = None) -> Changes:
        """What becomes of headers: the most specific level acts first, unless the table says otherwise."""
        levels = [*([] if weight is None else [weight]), route, self.host, self.table]
        if self.table.flag("most_specific_header_mutations_wins"):
            levels.reverse()
        changes = Changes(self.grpc)
        for level in levels:
            changes.then(level, side)
        return changes


def routes_of_http(table: Fields, chain: Chain, grpc: bool = False) -> list[Plain]:
    """The routes of a RouteConfiguration. grpc: the listener's codec is `grpc`."""
    table.ignore("name", "validate_clusters", "max_direct_response_body_size_bytes")
    ignore_port = table.flag("ignore_port_in_host_matching")
    hosts = table.each("virtual_hosts")
    ranked = sorted(
        (
            (rank, length, place, domains)
            for place, host in enumerate(hosts)
            for rank, length, domains in domains_of(host)
        ),
        key=lambda one: one[:3],
    )
    named = Names()
    found: list[Plain] = []
    whole = len({domain for *_, domains in ranked for domain in domains})
    for place, (rank, _, number_, domains) in enumerate(ranked):
        host = hosts[number_]
        where = Place(chain, table, host, grpc)
        host.ignore("name")
        routes = [plain for route in host.each("routes") for plain in routes_of_route(route, where)]
        for plain in routes:
            match: Plain = {}
            add_domains(match, rank, domains, ignore_port, host)
            for key, condition in _items(plain.get("match")):
                add(match, key, condition, host)
            kept = without_empty({"name": named(str(plain.get("name", ""))), **_but(plain), "match": match})
            found.append(chain.context.place(_named(kept), host.path))
        if rank != 3 and place + 1 < len(ranked) and whole > 1 and not _takes_all(routes):
            match = {}
            add_domains(match, rank, domains, ignore_port, host)
            found.append({"match": match, "reply": {"error": "not_found"}})
    return found


def _but(plain: Plain) -> Plain:
    return {key: value for key, value in plain.items() if key not in ("name", "match")}


def _named(plain: Plain) -> Plain:
    """The keys in the order in which one would write them."""
    order = ("name", "match")
    return {key: plain[key] for key in (*(one for one in order if one in plain), *_but(plain))}


def _items(match: object) -> Iterator[tuple[str, object]]:
    if isinstance(match, dict):
        for key, value in match.items():
            yield str(key), value


def _takes_all(routes: list[Plain]) -> bool:
    return any(not route.get("match") and route.get("percent", 100) == 100 for route in routes)


# -- one route


def routes_of_route(route: Fields, place: Place) -> list[Plain]:
    """The routes that one of Envoy's becomes: most often one."""
    route.ignore("metadata", "stat_prefix")
    base: Plain = {"name": route.text("name")}
    match = route.message_at("match")
    if match is None:
        route.require("match")
        return []
    condition: Plain = {}
    base["match"] = condition
    try:
        return _made(route, match, base, condition, place)
    except Unusable:  # reported; what it is for must not come to the routes behind it
        route.give_up()
        return [{"name": route.text("name"), "match": condition, "reply": {"error": "not_found"}}]


def _made(route: Fields, match: Fields, base: Plain, condition: Plain, place: Place) -> list[Plain]:
    add_request(condition, match, place.grpc)
    base["percent"] = runtime_percent(match, "runtime_fraction", place.chain, 100)
    base["filters"] = route_filters(route, place.host, place.table, place.chain)
    if base["percent"] == 100:
        del base["percent"]
    which = route.which("action")
    action = route.message_at(which) if which is not None else None
    if which == "route" and action is not None:
        return _forwarding(route, action, match, base, place)
    if which == "redirect" and action is not None:
        return list(_redirect(route, action, match, base, place))
    if which == "direct_response" and action is not None:
        return _direct(route, action, base, place)
    if which is None:
        route.report.invalid(route.path, "no action; write route, redirect or direct_response")
    else:
        route.essential(which, "metaproxy forwards, redirects or answers")
    return []


def _forwarding(route: Fields, action: Fields, match: Fields, base: Plain, place: Place) -> list[Plain]:
    plain = {**base, **policies.common(route, action, place.host, place.table, place.chain, place.grpc)}
    mirrors = [*place.table.each("request_mirror_policies"), *place.host.each("request_mirror_policies")]
    own = action.each("request_mirror_policies")
    plain["mirror"] = [one for policy in own or mirrors if (one := _mirror(policy, place.chain))]
    rewrite = _rewrite(action, match)
    upgrades(action, place)
    destinations = _destinations(action, place)
    found: list[Plain] = []
    for weight, percent, destination in destinations:
        one = {**plain, **destination}
        host = weight.text("host_rewrite_literal") if weight is not None else ""
        one["rewrite"] = {**rewrite, "host": host} if host else rewrite
        for side in ("request", "response"):
            one[side] = place.changes(route, side, weight).plain()
        if percent != 100 and "percent" in one:
            match.unhonoured("runtime_fraction", "goes with weighted clusters that differ in their weights alone")
        if percent != 100:
            one["percent"] = percent
        found.append(without_empty(one))
    return found


def _mirror(policy: Fields, chain: Chain) -> Plain:
    policy.ignore("disable_shadow_host_suffix_append", "trace_sampled")  # copies have the host of the original
    return mirror_of(policy, chain)


def _destinations(action: Fields, place: Place) -> list[tuple[Fields | None, float | int, Plain]]:
    """
    Where requests go: (the weighted cluster, its share of what comes to the route, keys). Several only where clusters
    differ in more than their weights: then each is a route, with the share of what those before it left.
    """
    common = subset_of(action.message_at("metadata_match"))
    which = action.which("cluster_specifier")
    if which == "cluster":
        if not action.text("cluster"):
            action.report.invalid(action.at("cluster"), "an empty name")
        return [(None, 100, {"cluster": action.text("cluster"), "subset": common})]
    if which != "weighted_clusters":
        if which is None:
            action.report.invalid(action.path, "no destination; write cluster or weighted_clusters")
        else:
            action.essential(which, "metaproxy's routes name their clusters; write cluster or weighted_clusters")
        return []
    weighted = action.message_at("weighted_clusters")
    assert weighted is not None
    weighted.ignore("runtime_key_prefix", "total_weight")
    sticky: Plain = {"sticky": policies.hash_keys(action, place.grpc)} if weighted.flag("use_hash_policy") else {}
    listed = [one for one in weighted.each("clusters") if one.require("name")]
    for one in listed:
        for extension in one.extensions("typed_per_filter_config").values():
            essential = extension.type.startswith((*KEEPING_OUT, FILTER_CONFIG))
            report = action.report.essential if essential else action.report.unhonoured
            report(extension.path, "metaproxy's filters have the same options for all clusters of a route")
            if extension.config is not None:
                extension.config.give_up()
    total = sum(one.whole("weight") for one in listed)
    if not total:
        weighted.report.invalid(weighted.path, "the weights add up to 0; one at least must be above")
        return []
    own = [subset_of(one.message_at("metadata_match")) for one in listed]
    if not any(map(_differs, listed)) and not any(own):
        weights: dict[str, int] = {}
        for one in listed:
            weights[one.text("name")] = weights.get(one.text("name"), 0) + one.whole("weight")
        return [(None, 100, {"clusters": {**weights}, "subset": common, **sticky})]
    found: list[tuple[Fields | None, float | int, Plain]] = []
    left = total
    for one, subset in zip(listed, own, strict=True):
        weight = one.whole("weight")
        if weight:
            keys = {"cluster": one.text("name"), "subset": {**common, **subset}, **sticky}
            found.append((one, number(100 * weight / left), keys))
        left -= weight
    return found


_OWN = ("request_headers_to_add", "request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove")


def _differs(weight: Fields) -> bool:
    return weight.given("host_rewrite_literal") or any(weight.given(name) for name in _OWN)


# -- rewrites


def _rewrite(action: Fields, match: Fields) -> Plain:
    plain: Plain = {}
    if action.given("prefix_rewrite"):
        to = action.text("prefix_rewrite")
        if _GROUP.search(to):
            action.unhonoured("prefix_rewrite", r"metaproxy takes \1 and the like for a group of a pattern")
        plain["path"] = {"regex": _of_prefix(match), "to": to}
    elif action.given("regex_rewrite"):
        inner = action.message_at("regex_rewrite")
        path = substitution(inner) if inner is not None else None
        if path:
            plain["path"] = path
    which = action.which("host_rewrite_specifier")
    if which == "host_rewrite_literal":
        plain["host"] = action.text("host_rewrite_literal")
    elif which == "auto_host_rewrite":
        action.refuse("auto_host_rewrite", "metaproxy keeps the host; write host_rewrite_literal", False)
    elif which == "host_rewrite_header":
        plain["host"] = f"%{key_of(action.text('host_rewrite_header'))}%"
    if plain.get("host") is None:
        action.ignore("append_x_forwarded_host")  # only with another host
    return plain


def _of_prefix(match: Fields) -> str:
    """What of a path a prefix_rewrite replaces: what the route's match looked at."""
    which = match.which("path_specifier")
    flags = "" if match.flag("case_sensitive", True) else "(?i)"
    if which in ("prefix", "path_separated_prefix"):
        return f"{flags}^{quoted(match.text(which))}"
    if which == "path":
        return f"{flags}^{quoted(match.text(which))}$"
    return "^.*$"


def substitution(rewrite: Fields) -> Plain | None:
    """A RegexMatchAndSubstitute as `{regex, to}`; None when it is reported."""
    pattern = rewrite.message_at("pattern")
    if pattern is None:
        rewrite.require("pattern")
        return None
    pattern.ignore("google_re2")  # there is no other engine
    regex = pattern.text("regex")
    once = regex.startswith("^") or regex.endswith(("$", ".*", ".*)", ".+", ".+)"))
    if not once:
        text = "Envoy replaces every place that matches, metaproxy the first; begin the pattern with ^"
        rewrite.report.unhonoured(pattern.path, text)
    to = rewrite.text("substitution")
    if "\\\\" in to:
        rewrite.unhonoured("substitution", "metaproxy takes a backslash as it stands, unless a digit follows")
    return {"regex": regex, "to": to}


def upgrades(action: Fields, place: Place) -> None:
    """What may be upgraded is said once a listener."""
    for upgrade in action.each("upgrade_configs"):
        name = upgrade.text("upgrade_type").lower()
        if name == "connect":
            upgrade.message_at("connect_config")
        if not upgrade.flag("enabled", True):
            upgrade.unhonoured("enabled", "what clients may go on with is said once for all routes of a listener")
        protocol = place.chain.section.setdefault("protocol", {"name": "grpc" if place.grpc else "http", "upgrade": []})
        if isinstance(protocol, dict):
            allowed = protocol.get("upgrade", ["websocket"])
            if name == "connect" and not protocol.get("connect"):
                protocol["connect"] = True
            elif name != "connect" and isinstance(allowed, list) and name not in allowed:
                protocol["upgrade"] = [*allowed, name]


# -- answers of the proxy's own


def _direct(route: Fields, action: Fields, base: Plain, place: Place) -> list[Plain]:
    status = action.whole("status")
    body = inline_of(action.message_at("body"), "the body of an answer") or ""
    if not 200 <= status <= 599:
        action.invalid("status", f"{status} is no status of an answer; write 200 to 599")
        return []
    if len(body.encode()) > MAX_BODY:
        action.unhonoured("body", f"{len(body.encode())} bytes; metaproxy answers with {MAX_BODY} at most")
        body = ""
    reply: Plain = {"name": str(status), "message": body, "set": _added(route, place)}
    return [without_empty({**base, "reply": without_empty(reply)})]


def _added(route: Fields, place: Place) -> Plain:
    """The headers of an answer of the proxy's own."""
    place.changes(route, "request")  # which goes nowhere
    return place.changes(route, "response").of_an_answer()


def _redirect(route: Fields, action: Fields, match: Fields, base: Plain, place: Place) -> Iterable[Plain]:
    name = _REDIRECTS.get(action.choice("response_code"), "301")
    scheme = "https" if action.flag("https_redirect") else action.text("scheme_redirect") or "%scheme%"
    port = action.whole("port_redirect")
    host = action.text("host_redirect") or ("%hostname%" if port else "%host%")
    origin = f"{scheme}://{host}{f':{port}' if port else ''}"
    path, with_query = _new_path(action, match)
    if path is None:
        return
    added = _added(route, place)

    def answer(where: Plain, location: str) -> Plain:
        return without_empty({**base, **where, "reply": {"name": name, "set": {**added, "location": location}}})

    if not with_query:
        yield answer({}, f"{origin}{path}")
        return
    if path == "%path%":
        yield answer({}, f"{origin}%target%")
        return
    asked = dict(_items(base.get("match")))
    add(asked, "query", {"present": True}, action)
    yield answer({"match": asked}, f"{origin}{path}?%query%")
    yield answer({}, f"{origin}{path}")


def _new_path(action: Fields, match: Fields) -> tuple[str | None, bool]:
    """The path of a redirect, and whether the query follows it."""
    keep = not action.flag("strip_query")
    which = action.which("path_rewrite_specifier")
    if which is None:
        return "%path%", keep
    if which == "path_redirect":
        path = action.text("path_redirect")
        return path, keep and "?" not in path
    if which == "prefix_rewrite" and match.which("path_specifier") == "path":
        return action.text("prefix_rewrite"), keep
    action.unhonoured(which, "metaproxy redirects to a path that is given whole; write path_redirect")
    return None, False


def timeout_of(action: Fields) -> str | None:
    """`timeout:` of a route; None where it has none of its own."""
    length = action.seconds("timeout")
    return None if length is None else shown_seconds(length)
