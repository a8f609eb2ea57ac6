"""
What a `rollout:` and a `returned:` may say.

Lives here: `RolloutSpec`, `ReturnedSpec`, reading them. Does not: what follows from them (`rollout`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from metaproxy.config.schema.leaf import Leaf, scalar
from metaproxy.config.schema.nodes import Node, Problem
from metaproxy.config.schema.numbers import Duration, Flag, Share, Whole
from metaproxy.config.schema.reading import Schema
from metaproxy.config.schema.registry import NoPlugins
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, option
from metaproxy.config.schema.texts import Text
from metaproxy.config.values import Context, read_section
from metaproxy.units import Percent, Seconds

S = TypeVar("S", bound=Section)


class Moment(Leaf[float]):
    """A time of day with its date, as seconds since 1970."""

    def parse(self, node: Node) -> float:
        try:
            return moment(node.text)
        except ValueError:
            raise ValueError(f"{scalar(node)!r} is not a time; write one such as 2026-01-31T12:00:00Z") from None

    def words(self) -> str:
        return "a time such as `2026-01-31T12:00:00Z`"

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"type": "string", "format": "date-time"}


def moment(written: str) -> float:
    """Raises ValueError."""
    found = datetime.fromisoformat(written)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def shown_moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Section):
    """A share of the nodes, and how long it stays so."""

    percent: Percent = option(Share(), "Of the nodes, by a hash of their ids.")
    hold: Seconds = option(Duration(), "Time until the next step.", "5m")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnWhen(Section):
    """What ends a rollout, so that all nodes have the version before again."""

    errors: Percent = option(
        Share(), "How much more of the requests fail at nodes with the new version than at the others.", 1
    )
    requests: int = option(Whole(1), "Requests at nodes with the new version that are enough to judge by.", 100)
    window: Seconds = option(Duration("1s", "1h"), "How far to look back.", "1m")
    refused: bool = option(Flag(), "A node refuses what is new.", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec(Section):
    """The version that nodes are to have, and how they come to it."""

    version: str = option(Text(), "The version: a folder of `versions/`.")
    before: str = option(Text(empty=True), "The version that is in force until then, and again when it is ended.", "")
    start: float | None = option(Moment(), "When the first step begins, for all servers.", None)
    steps: Sequence[Step] = option(ListOf(Nested(Step)), "Shares, one after the other; all nodes behind the last.", ())
    first: Mapping[str, str] = option(
        MapOf(Text(), "KEY"), "Metadata of nodes that get it with the first step, whatever their hash.", {}
    )
    return_when: ReturnWhen = option(Nested(ReturnWhen), "What ends it.", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedSpec(Section):
    """That a rollout was ended."""

    version: str = option(Text(), "The version that was rolled out.")
    start: float | None = option(Moment(), "When it began.", None)
    at: float = option(Moment(), "When it was ended.")
    reason: str = option(Text(), "Why.")


def read_rollout(path: str, plain: object, versions: Sequence[str]) -> tuple[RolloutSpec | None, list[Problem]]:
    """Return what a document's `rollout:` says, or None and what is wrong with it. versions: that there are."""
    found, problems = _section(RolloutSpec, path, "rollout", plain)
    if found is None:
        return None, problems
    for key in ("version", "before"):
        name = getattr(found, key)
        if name and name not in versions:
            there = f"there are {', '.join(versions)}" if versions else "there is none"
            problems.append(Problem(path, 1, 1, f"rollout.{key}", f"no folder versions/{name}/; {there}"))
    percents = [step.percent for step in found.steps]
    if percents != sorted(percents):
        problems.append(Problem(path, 1, 1, "rollout.steps", "a share that is smaller than the one before it"))
    if found.steps and found.start is None:
        text = f"start is missing: all servers begin at one time; write one such as {shown_moment(0)}"
        problems.append(Problem(path, 1, 1, "rollout", text))
    return (None if problems else found), problems


def read_returned(path: str, plain: object) -> tuple[ReturnedSpec | None, list[Problem]]:
    return _section(ReturnedSpec, path, "returned", plain)


def _section(kind: type[S], path: str, key: str, plain: object) -> tuple[S | None, list[Problem]]:
    return read_section(kind, plain, Context(path, NoPlugins(), {}), key)
