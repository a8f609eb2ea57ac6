"""
`access_log:` and `tracing:` of listeners as Envoy has them.

Lives here: `access_logs`, `tracing_of`. Does not: what operators show (`telemetry.access_log`).
"""

from __future__ import annotations

import re

from metaproxy.envoy.writing.keys import Keys, Plain, typed, without_empty
from metaproxy.telemetry.access_log.operators import OPERATORS

_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_OPERATOR = re.compile(r"%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%)")
_PSEUDO = {"method": ":METHOD", "target": ":PATH", "host": ":AUTHORITY", "scheme": ":SCHEME"}


def access_logs(listener: Keys, http: bool) -> list[Plain]:
    """http: whether requests are of HTTP, so that some keys are pseudo headers."""
    found: list[Plain] = []
    for log in listener.each("access_log"):
        fields = log.mapping("fields")
        format: Plain = {}
        if fields:
            shown = {name: line(str(value), log.at("fields", name), log.wrong, http) for name, value in fields.items()}
            format = {"json_format": shown}
        elif log.text("format") in ("text", "json"):
            log.cannot(
                "format", f"{log.text('format')!r} shows what Envoy has no operators for; write a line or fields"
            )
        else:
            text = line(log.text("format"), log.at("format"), log.wrong, http)
            format = {"text_format_source": {"inline_string": f"{text}\n"}}
        log.ignore("format")
        config = typed(_FILE, path=log.text("file"), log_format=format)
        found.append({"name": "envoy.access_loggers.file", "typed_config": config})
        log.close()
    return found


def line(format: str, path: str, wrong: list[str], http: bool) -> str:
    """A text with our operators as one with Envoy's."""

    def operator(found: re.Match[str]) -> str:
        name, argument, length = found[1], found[2] or "", found[3]
        if not name:
            return "%%"
        known = OPERATORS.get(name)
        if known is not None and (known.ours or (argument and known.argument == "unit")):
            wrong.append(f"{path}: Envoy has no {found[0]}")
        if http and name == "RESP" and argument == "status":
            return "%RESPONSE_CODE%"
        if http and name in ("REQ", "RESP"):
            argument = "?".join(_PSEUDO.get(one, one.upper()) for one in argument.split("?"))
        return f"%{name}{f'({argument})' if argument else ''}{f':{length}' if length else ''}%"

    return _OPERATOR.sub(operator, format)


def tracing_of(listener: Keys, http: bool, provider: Plain | None) -> Plain | None:
    tracing = listener.inner("tracing")
    if tracing is None:
        return None
    plain: Plain = {
        "random_sampling": {"value": tracing.number("sampling")},
        "client_sampling": {"value": tracing.number("client_sampling")},
        "overall_sampling": {"value": tracing.number("overall_sampling")},
    }
    if provider is not None:
        plain["provider"] = provider
    if tracing.given("max_tag_length"):
        plain["max_path_tag_length" if http else "max_tag_length"] = tracing.whole("max_tag_length")
    tags = tracing.each_of("tags")
    if http:
        plain["custom_tags"] = [_tag(name, tag) for name, tag in tags.items()]
    elif tags:
        tracing.cannot("tags", "MetaProtocolProxy has no tags of one's own")
    tracing.ignore("direction", "max_tag_length")  # the listener's traffic_direction
    tracing.close()
    return without_empty(plain)


def _tag(name: str, tag: Keys) -> Plain:
    literal, env, key, default = (tag.text(one) for one in ("literal", "env", "metadata", "default"))
    plain: Plain = {"tag": name}
    if literal:
        plain["literal"] = {"value": literal}
    elif env:
        plain["environment"] = without_empty({"name": env, "default_value": default})
    else:
        plain["request_header"] = without_empty({"name": key, "default_value": default})
    return plain


def direction_of(listener: Keys) -> str:
    """The listener's traffic_direction."""
    tracing = getattr(listener.section, "tracing", None)
    word = getattr(tracing, "direction", "unspecified")
    return {"inbound": "INBOUND", "outbound": "OUTBOUND"}.get(word, "UNSPECIFIED")
