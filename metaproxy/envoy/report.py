"""
What is wrong with a message, and what metaproxy can't do of what it says.

Lives here: `Finding`, `Report`, `Unusable`. Does not: who finds it (`fields`, `json_mapping`, translators), where in a
file it stands (`reading`).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, NoReturn

from metaproxy.envoy.memory_files import MemoryFiles

MAX_FINDINGS = 500
"""Of one kind that a report keeps. A peer's message of megabytes makes no log of megabytes."""


class Severity(Enum):
    """What follows from a finding."""

    INVALID = "invalid"
    """The message is malformed: it is refused."""
    UNHONOURED = "unhonoured"
    """Metaproxy does not do what it says: refused, or a warning where the report is lenient."""
    WARNING = "warning"
    """It is odd, and works."""


class Finding(NamedTuple):
    """path: such as static_resources.listeners[0].filter_chains[0].filters[0].typed_config.foo."""

    severity: Severity
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class Unusable(Exception):
    """A resource as a whole is beyond metaproxy. Its translator reported why; the resource is left out."""


class Report:
    """
    lenient: what can't be honoured is a warning, and a resource that can't be used is left out. inert: fields that were
    met and change nothing, by the full name of their message and their own. memory: takes bytes that stand in a message
    and are a file to us, such as a key; None where such a file would be of no use.
    """

    def __init__(self, lenient: bool = False, memory: MemoryFiles | None = None) -> None:
        self.lenient = lenient
        self.memory = memory
        self.findings: list[Finding] = []
        self.inert: set[tuple[str, str]] = set()
        self._seen: set[Finding] = set()

    def invalid(self, path: str, text: str) -> None:
        """The message is malformed here."""
        self._add(Finding(Severity.INVALID, path, text))

    def unhonoured(self, path: str, text: str) -> None:
        """Metaproxy does not do what is said here."""
        self._add(Finding(Severity.UNHONOURED, path, text))

    def essential(self, path: str, text: str) -> None:
        """
        Metaproxy does not do what is said here, and to do without would let through what is to be kept out. Raises
        Unusable where the report is lenient; else all that is wrong is found first, and refused.
        """
        self.unhonoured(path, text)
        if self.lenient:
            raise Unusable(f"{path}: {text}")

    def unusable(self, path: str, text: str) -> NoReturn:
        """Without what is said here the whole resource makes no sense. Raises Unusable."""
        self.unhonoured(path, text)
        raise Unusable(f"{path}: {text}")

    def warn(self, path: str, text: str) -> None:
        """What is said here is odd, and works."""
        self._add(Finding(Severity.WARNING, path, text))

    def _add(self, finding: Finding) -> None:
        if finding not in self._seen and len(self.findings) < MAX_FINDINGS:
            self._seen.add(finding)
            self.findings.append(finding)

    @property
    def errors(self) -> list[Finding]:
        """Those for which the configuration is refused."""
        refused = (Severity.INVALID,) if self.lenient else (Severity.INVALID, Severity.UNHONOURED)
        return [one for one in self.findings if one.severity in refused]

    @property
    def warnings(self) -> list[Finding]:
        errors = set(self.errors)
        return [one for one in self.findings if one not in errors]
