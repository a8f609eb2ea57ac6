from collections.abc import Callable, Mapping

from metaproxy.message import Kind, Message

class DubboCutter:
    def __init__(self, client: bool, most: int, more: Callable[[Message], None]) -> None: ...
    def __call__(self, data: bytes, at: int, messages: list[Message]) -> int: ...

def redis_commands(
    data: bytes,
    at: int,
    messages: list[Message],
    heads: dict[bytes, int],
    most: int,
    more: Callable[[Message], None],
    profile: object,
) -> int: ...
def redis_replies(data: bytes, at: int, messages: list[Message], most: int) -> int: ...
def thrift_framed(
    data: bytes,
    at: int,
    messages: list[Message],
    most: int,
    heads: Mapping[bytes, tuple[Kind, dict[str, str]]],
    more: Callable[[Message], None],
    profile: object,
) -> int: ...
