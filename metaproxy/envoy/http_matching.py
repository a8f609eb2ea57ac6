"""
What Envoy's routes of HTTP ask of a request, as entries of our `match:`.

Lives here: `RouteMatch` with its paths, headers and parameters; domains of virtual hosts. Does not: conditions on one
value (`matching`), routes (`http_routes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from metaproxy.codecs.http.metadata import KEYS
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.matching import header_condition, regex_condition, string_condition
from metaproxy.envoy.tables import Plain

PSEUDO = {":method": "method", ":path": "target", ":authority": "host", "host": "host", ":scheme": "scheme"}
"""Headers of Envoy that are parts of a request here -> metadata keys."""
_GRPC = {"method": "http.method", "target": "path"}
"""Keys of the codec `http` that have another name with `grpc`."""
_FAMILIES = ("query.", "cookie.", "header.", "client.")


def key_of(header: str, grpc: bool = False) -> str:
    """The metadata key of a header."""
    name = header.lower()
    key = PSEUDO.get(name)
    if key is not None:
        return _GRPC.get(key, key) if grpc else key
    return f"header.{name}" if name in KEYS or name.startswith(_FAMILIES) else name


def add(match: Plain, key: str, condition: object, fields: Fields) -> None:
    """
    One condition more. Two on one key are written under two spellings of it: keys are compared without regard to case,
    and each must hold.
    """
    if match.get(key) == condition:
        return
    for spelling in _spellings(key):
        if spelling not in match:
            match[spelling] = condition
            return
    fields.report.essential(fields.path, f"more conditions on {key!r} than metaproxy can tell apart")


def _spellings(key: str) -> Iterator[str]:
    yield key
    for place, letter in enumerate(key):
        if letter.isalpha():
            yield key[:place] + letter.upper() + key[place + 1 :]


def quoted(text: str) -> str:
    """A text as a pattern of RE2 that matches it alone."""
    return re.sub(r"([^\w/ -])", r"\\\1", text, flags=re.ASCII) if text.isascii() else rf"\Q{text}\E"


def add_request(match: Plain, fields: Fields, grpc: bool = False) -> None:
    """What a RouteMatch asks, but for its share of requests (runtime_fraction)."""
    _add_path(match, fields)
    for name in ("path_match_policy", "dynamic_metadata", "filter_state"):
        if fields.given(name):  # without this condition too much would match
            fields.essential(name, "metaproxy's routes look at paths, headers, parameters and TLS")
    for matcher in fields.each("headers"):
        add_header(match, matcher, grpc)
    for matcher in fields.each("query_parameters"):
        add_parameter(match, matcher)
    if fields.message_at("grpc") is not None and not grpc:
        # As Envoy knows it: this content type, alone or with what is sent in it.
        add(match, "content-type", {"regex": r"application/grpc(?:[+;].*)?"}, fields)
    tls = fields.message_at("tls_context")
    if tls is not None:
        if tls.given("presented"):
            add(match, "source.identity", {"present": tls.flag("presented")}, tls)
        if tls.given("validated"):
            add(match, "source.identity", {"present": tls.flag("validated")}, tls)


def _add_path(match: Plain, fields: Fields) -> None:
    which = fields.which("path_specifier")
    ignore_case = not fields.flag("case_sensitive", True)
    if which == "safe_regex":
        inner = fields.message_at("safe_regex")
        condition = regex_condition(inner) if inner is not None else None
        if condition is not None:
            add(match, "path", condition, fields)
        return
    if which in ("prefix", "path"):
        value = fields.text(which)
        if which == "prefix" and value in ("", "/"):
            return
        plain: Plain = {"exact" if which == "path" else "prefix": value}
        if ignore_case:
            plain["ignore_case"] = True
        add(match, "path", value if plain == {"exact": value} else plain, fields)
    elif which == "path_separated_prefix":
        flags = "(?i)" if ignore_case else ""
        add(match, "path", {"regex": f"{flags}{quoted(fields.text(which))}(?:/.*)?"}, fields)
    elif which == "connect_matcher":
        fields.message_at("connect_matcher")
        add(match, "method", "CONNECT", fields)
    elif which is None:
        fields.report.invalid(fields.path, "nothing to compare the path with; write prefix, path or safe_regex")


def add_header(match: Plain, matcher: Fields, grpc: bool = False) -> None:
    """What a HeaderMatcher asks."""
    name = matcher.text("name")
    if not name:
        matcher.report.invalid(matcher.path, "name is missing")
        return
    condition = header_condition(matcher)
    if condition is not None:
        add(match, key_of(name, grpc), condition, matcher)


def add_parameter(match: Plain, matcher: Fields) -> None:
    """What a QueryParameterMatcher asks."""
    name = matcher.text("name")
    if not name:
        matcher.report.invalid(matcher.path, "name is missing")
        return
    which = matcher.which("query_parameter_match_specifier")
    condition: object = {"present": True}
    if which == "string_match":
        inner = matcher.message_at("string_match")
        plain = string_condition(inner) if inner is not None else None
        condition = plain["exact"] if plain is not None and plain.keys() == {"exact"} else plain
    elif which == "present_match":
        condition = {"present": matcher.flag("present_match")}
    if condition is not None:
        add(match, f"query.{name}", condition, matcher)


# -- domains


def domains_of(host: Fields) -> list[tuple[int, int, list[str]]]:
    """
    The domains of a virtual host, by how exact they are: (0, 0, those without *), (1, -length, [*.a.b]),
    (2, -length, [a.*]), (3, 0, [*]). In this order Envoy looks for the one that a request is for.
    """
    exact: list[str] = []
    groups: dict[tuple[int, int], list[str]] = {}
    for place, domain in enumerate(host.texts("domains")):
        if domain == "*":
            groups[3, 0] = [domain]
        elif domain.startswith("*"):
            groups.setdefault((1, -len(domain)), []).append(domain)
        elif domain.endswith("*"):
            groups.setdefault((2, -len(domain)), []).append(domain)
        elif "*" in domain or not domain:
            host.report.invalid(host.at("domains", place), f"{domain!r}: a * stands first, last or alone")
        else:
            exact.append(domain)
    if exact:
        groups[0, 0] = exact
    if not groups:
        if not host.texts("domains"):
            host.report.invalid(host.path, "domains is missing")
        host.ignore(*(field.name for field in host.message.DESCRIPTOR.fields))  # no request comes here
    return [(*rank, groups[rank]) for rank in sorted(groups)]


def add_domains(match: Plain, rank: int, domains: Sequence[str], ignore_port: bool, fields: Fields) -> None:
    """That a request is for one of these domains, all of one rank."""
    if rank == 3:
        return
    if rank == 0:
        hosts = sorted({_without_port(domain.lower()) for domain in domains})
        add(match, "hostname", hosts[0] if len(hosts) == 1 else {"in": hosts}, fields)
        if not ignore_port:
            add(match, "host", {"regex": f"(?i){_either(quoted(domain) for domain in domains)}"}, fields)
        return
    patterns = (f".+{quoted(one[1:])}" if rank == 1 else f"{quoted(one[:-1])}.+" for one in domains)
    add(match, "hostname" if ignore_port else "host", {"regex": f"(?i){_either(patterns)}"}, fields)


def _either(patterns: Iterable[str]) -> str:
    found = list(patterns)
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"


def _without_port(domain: str) -> str:
    host, separator, port = domain.rpartition(":")
    return host if separator and port.isdecimal() and not host.endswith(":") else domain
