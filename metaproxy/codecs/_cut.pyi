from collections.abc import Callable, Mapping

from metaproxy.message import Kind, Message

class DubboCutter:
    def __init__(self, client: bool, most: int, more: Callable[[Message], None]) -> None: ...
    def __call__(self, data: bytes, at: int, messages: list[Message]) -> int: ...

class RedisCommands:
    def __init__(
        self, heads: dict[bytes, int], most: int, more: Callable[[Message], None], profile: object
    ) -> None: ...
    def __call__(self, data: bytes, at: int, messages: list[Message]) -> int: ...

class RedisReplies:
    def __init__(self, most: int) -> None: ...
    def __call__(self, data: bytes, at: int, messages: list[Message]) -> int: ...

class ThriftFramed:
    def __init__(
        self,
        most: int,
        heads: Mapping[bytes, tuple[Kind, dict[str, str]]],
        more: Callable[[Message], None],
        profile: object,
    ) -> None: ...
    def __call__(self, data: bytes, at: int, messages: list[Message]) -> int: ...
