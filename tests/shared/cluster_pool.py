"""A pool that notes what it is told."""

from __future__ import annotations


class Pool:
    def __init__(self) -> None:
        self.connections: set[object] = set()
        self.retired = False

    def retire(self) -> None:
        self.retired = True

    def resume(self) -> None:
        self.retired = False
