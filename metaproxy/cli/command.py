"""
What a command is to `main`: a module with `add` and `run`.

Lives here: the types of their arguments. Does not: any command.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Callable
from typing import Protocol, TypeAlias

from metaproxy.cli.client import Admin
from metaproxy.cli.output import Output

Commands: TypeAlias = "_SubParsersAction[ArgumentParser]"
"""Where `add` puts its parser; what argparse's `add_subparsers` gives."""

Run: TypeAlias = Callable[[Namespace, Admin, Output], int]
"""Does it. Returns the exit code."""


class Command(Protocol):
    """A module of this package."""

    __name__: str

    def add(self, commands: Commands, common: ArgumentParser) -> None:
        """Add the command's parser. common: with the arguments that all commands take."""
