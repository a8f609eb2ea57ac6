"""
The rule that reads secrets: from files, variables, or the configuration itself.

Lives here: `RULES`, `secret_of`. Does not: where a secret may stand (`schema.names`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.units import Secret

MAX_SECRET = 65536
"""Bytes of a secret's file."""

RULES = Rules()


@RULES.of(model.SecretSource)
def _read_secret(source: model.SecretSource, reading: Reading) -> None:
    try:
        reading.secrets[str(reading.at(source).key)] = secret_of(source, reading.environ)
    except ValueError as error:
        reading.problem(reading.at(source, "env" if source.env is not None else "file"), str(error))


def secret_of(source: model.SecretSource, environ: Mapping[str, str]) -> Secret:
    """Return the text of a secret. Raises ValueError with the reason why it can't be had."""
    if source.value is not None:
        return source.value
    if source.env is not None:
        if source.env not in environ:
            raise ValueError(f"no environment variable {source.env}")
        return Secret(environ[source.env])
    if source.file is None:
        raise ValueError("neither value, env nor file")
    try:
        return Secret(_file_text(source.file))
    except (OSError, ValueError) as error:
        raise ValueError(f"{source.file}: {_reason(error)}") from None


def _file_text(path: Path) -> str:
    """Raises OSError, or ValueError for what can't be a secret."""
    if not path.is_file():  # opening a pipe would wait for its other end
        raise ValueError("not a file" if path.exists() else "no such file")
    with path.open("rb") as file:
        data = file.read(MAX_SECRET + 1)
    if len(data) > MAX_SECRET:
        raise ValueError(f"more than {MAX_SECRET} bytes")
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("not a text in UTF-8") from None


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
