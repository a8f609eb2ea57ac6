"""
Envoy's DataSource: where bytes of a message come from.

Lives here: `path_of`, `inline_of`. Does not: what they are used for.
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields


def path_of(source: Fields | None, what: str) -> str | None:
    """
    The file of a DataSource: one in memory for bytes that stand in the message, where the report has a place for them.
    None for none, and where that is reported.
    """
    if source is None:
        return None
    source.ignore("watched_directory")  # files are read again when they change
    which = source.which("specifier")
    if which == "filename":
        return source.text("filename")
    memory = source.report.memory
    if which is None:
        source.report.invalid(source.path, "no source; write filename")
    elif memory is not None and which in ("inline_string", "inline_bytes"):
        return memory.put_unnamed(source.text(which).encode() if which == "inline_string" else source.data(which))
    else:
        source.unhonoured(which, f"{what} must be in a file; write filename")
    return None


def inline_of(source: Fields | None, what: str) -> str | None:
    """The text that stands in a DataSource; None for none, and for other places, which is reported."""
    if source is None:
        return None
    which = source.which("specifier")
    if which == "inline_string":
        return source.text("inline_string")
    if which == "inline_bytes":
        try:
            return source.data("inline_bytes").decode()
        except UnicodeDecodeError:
            source.unhonoured("inline_bytes", f"{what} must be UTF-8")
            return None
    if which is None:
        source.report.invalid(source.path, "no source; write inline_string")
    else:
        source.unhonoured(which, f"{what} must stand here; write inline_string")
    return None
