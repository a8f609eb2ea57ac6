"""The types of those parts of pytest-twisted that tests use: it comes without."""

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

def inlineCallbacks(test: F) -> F: ...
def ensureDeferred(test: F) -> F: ...
def blockon(deferred: Deferred[T]) -> T: ...
