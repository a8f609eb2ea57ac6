"""Who hears what a source of the control plane has."""

from __future__ import annotations

from collections.abc import Mapping


class SeenTexts:
    """updates: what the source gave; failures: why it could not."""

    def __init__(self) -> None:
        self.updates: list[Mapping[str, bytes | None]] = []
        self.failures: list[str] = []

    def update(self, texts: Mapping[str, bytes | None]) -> None:
        self.updates.append(texts)

    def failed(self, reason: str) -> None:
        self.failures.append(reason)
