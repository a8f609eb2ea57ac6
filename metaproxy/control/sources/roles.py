"""
What a source is to the control plane.

Lives here: `Source`, `Receiver`. Does not: sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

Texts = Mapping[str, bytes | None]
"""Texts of documents by their path, such as `edge/listeners.yaml`; None for one that is gone."""


class Receiver(Protocol):
    """Who takes what a source has."""

    def update(self, texts: Texts) -> None:
        """
        Take texts that are new, other or gone: at the start all that there are. What is not named stays as it is. An
        update without any says that the source can be read again.
        """

    def failed(self, reason: str) -> None:
        """The source can't be read; what it had before stays in force."""


class Source(Protocol):
    """One place that holds the state of a control plane."""

    where: str
    """What people call it."""
    strict: bool
    """Whether one object of a mesh that is wrong refuses everything: so where one team writes all of it."""

    def start(self, receiver: Receiver) -> None:
        """Read it, and watch it from now on."""

    def stop(self) -> Deferred[None] | None:
        """Stop watching."""

    def write(self, path: str, text: bytes | None) -> Deferred[None]:
        """Put a text at a path, or remove it: how a rollout that was ended is remembered. Fails with OSError."""
