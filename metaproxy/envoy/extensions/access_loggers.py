"""
Access logs: files, the standard output and error, in formats of text and JSON.

Lives here: their translators, and Envoy's operators as ours. Does not: what an operator shows (`telemetry.access_log`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from metaproxy.envoy.data_sources import inline_of
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.tables import ACCESS_LOGGERS, Chain, Plain
from metaproxy.support.nearest_name import did_you_mean
from metaproxy.telemetry.access_log.operators import OPERATORS

_LOGGERS = "envoy.extensions.access_loggers"
_OPERATOR = re.compile(r"%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%)")
_SAME: Mapping[str, str] = {
    "UPSTREAM_REMOTE_ADDRESS": "UPSTREAM_HOST",
    "UPSTREAM_CLUSTER_RAW": "UPSTREAM_CLUSTER",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": "DOWNSTREAM_LOCAL_ADDRESS",
    "REQUEST_HEADER": "REQ",
    "RESPONSE_HEADER": "RESP",
}
"""Operators of Envoy that have another name here."""
_NEVER = ("CONNECTION_TERMINATION_DETAILS", "UPSTREAM_LOCAL_ADDRESS")
"""In the formats that control planes send by themselves, and not known here."""
PSEUDO: Mapping[str, str] = {":method": "method", ":path": "target", ":authority": "host", ":scheme": "scheme"}
"""Headers of Envoy that stand for parts of a request of HTTP -> metadata keys."""
_HTTP_TEXT = (
    '[%START_TIME%] "%REQ(method)% %REQ(target)% %PROTOCOL%" %RESP(status)% %RESPONSE_FLAGS% %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% "%REQ(x-forwarded-for)%" "%REQ(user-agent)%" "%REQ(x-request-id)%" "%REQ(host)%" '
    '"%UPSTREAM_HOST%"'
)
"""What Envoy logs of HTTP where no format is given."""


@ACCESS_LOGGERS.add(f"{_LOGGERS}.file.v3.FileAccessLog", "envoy.access_loggers.file", "envoy.file_access_log")
def file(config: Fields, log: Fields, chain: Chain) -> Plain | None:
    config.require("path")
    plain: Plain = {"file": config.text("path")}
    which = config.which("access_log_format")
    if which == "format":
        plain["format"] = line(config.text("format"), config.at("format"), chain)
    elif which in ("json_format", "typed_json_format"):
        plain.update(_fields(config.struct(which), config.at(which), chain))
    else:
        plain.update(_format(config, chain))
    return _filtered(plain, log)


@ACCESS_LOGGERS.add(f"{_LOGGERS}.stream.v3.StdoutAccessLog", "envoy.access_loggers.stdout")
def stdout(config: Fields, log: Fields, chain: Chain) -> Plain | None:
    return _filtered({"file": "/dev/stdout", **_format(config, chain)}, log)


@ACCESS_LOGGERS.add(f"{_LOGGERS}.stream.v3.StderrAccessLog", "envoy.access_loggers.stderr")
def stderr(config: Fields, log: Fields, chain: Chain) -> Plain | None:
    return _filtered({"file": "/dev/stderr", **_format(config, chain)}, log)


def _filtered(plain: Plain, log: Fields) -> Plain:
    if log.given("filter"):
        log.unhonoured("filter", "metaproxy logs every exchange")
    return plain


def _format(config: Fields, chain: Chain) -> Plain:
    """What a SubstitutionFormatString says."""
    format = config.message_at("log_format")
    if format is None:
        return {"format": _HTTP_TEXT} if _is_http(chain) else {}
    format.ignore("content_type")
    format.refuse("omit_empty_values", "metaproxy shows what there is not as - or null", False)
    which = format.which("format")
    if which == "json_format":
        return _fields(format.struct("json_format"), format.at("json_format"), chain, _sorted(format))
    _sorted(format)
    text = format.text("text_format") if which == "text_format" else ""
    if which == "text_format_source":
        text = inline_of(format.message_at("text_format_source"), "a format") or ""
    if not text:
        format.report.invalid(format.path, "no format; write text_format_source or json_format")
        return {}
    for formatter in format.each("formatters"):
        extension = formatter.extension()
        if not extension.type.endswith("formatter.req_without_query.v3.ReqWithoutQuery"):
            formatter.report.unhonoured(formatter.path, f"metaproxy has no formatter {extension.name!r}")
    return {"format": line(text, format.path, chain)}


def _sorted(format: Fields) -> bool:
    options = format.message_at("json_format_options")
    return options is not None and options.flag("sort_properties")


def _fields(given: Mapping[str, object], path: str, chain: Chain, in_order: bool = False) -> Plain:
    found: dict[str, str] = {}
    for name in sorted(given) if in_order else given:
        value = given[name]
        if isinstance(value, str):
            found[name] = line(value, f"{path}.{name}", chain)
        elif isinstance(value, (dict, list)):
            chain.report.unhonoured(f"{path}.{name}", "metaproxy writes flat objects, of texts with operators")
        elif value is not None:
            found[name] = str(value).lower() if isinstance(value, bool) else f"{value:g}"
    if not given:
        chain.report.invalid(path, "no fields")
    return {"fields": found} if found else {}


def line(format: str, path: str, chain: Chain) -> str:
    """A text with Envoy's operators as one with ours."""
    format = format.removesuffix("\n")
    if "\n" in format:
        chain.report.unhonoured(path, "a line break within the format; a log has one line for each exchange")
        format = format.replace("\n", " ")
    return _OPERATOR.sub(lambda found: _operator(found, path, chain), format)


def _operator(found: re.Match[str], path: str, chain: Chain) -> str:
    if not found[1]:
        return "%%"
    name, argument, length = _SAME.get(found[1], found[1]), found[2] or "", found[3]
    if name in _NEVER:
        chain.report.warn(path, f"metaproxy knows no %{name}%, and shows -")
        return "-"
    if name == "RESPONSE_CODE" and _is_http(chain):
        name, argument = "RESP", "status"
    elif name == "REQ_WITHOUT_QUERY":
        name, argument = "REQ", argument.lower().replace(":path", "path")
    elif name in ("REQ", "RESP"):
        argument = _key(argument, found[0], path, chain)
    operator = OPERATORS.get(name)
    if operator is None or (argument and not operator.argument):
        hint = did_you_mean(name, OPERATORS, "see the reference of access logs")
        chain.report.unhonoured(path, f"metaproxy has no operator {found[0][:60]}; {hint}")
        return "-"
    return f"%{name}{f'({argument})' if argument else ''}{f':{length}' if length else ''}%"


def _key(argument: str, shown: str, path: str, chain: Chain) -> str:
    """The key of REQ or RESP, and the other one to show in its place."""
    keys = [PSEUDO.get(one, one) for one in argument.lower().split("?")]
    if keys[0] == "x-envoy-original-path":  # what Envoy keeps of a path that it rewrites: ours is never rewritten here
        keys = keys[1:] or ["target"]
    if not keys[0]:
        chain.report.invalid(path, f"{shown} has no key")
        return "-"
    return "?".join(keys[:2])


def _is_http(chain: Chain) -> bool:
    return chain.section.get("protocol") in ("http", "grpc") or (
        isinstance(protocol := chain.section.get("protocol"), dict) and protocol.get("name") in ("http", "grpc")
    )
