from __future__ import annotations

import ast
import copy
import operator
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from metaproxy import message as module
from metaproxy.message import KIND_NAMES, ErrorKind, FrameError, Hold, Kind, Message, Mutation, Part, Reply, Shared


def in_steps(*steps: dict[str, str] | str) -> Message:
    """A message whose metadata become known step by step; a text stands for a step that can't be decoded."""
    left = list(steps)

    def more(message: Message) -> None:
        step = left.pop(0)
        if isinstance(step, str):
            raise FrameError(step)
        message.metadata = {**(message.metadata or {}), **step}
        if left:
            message.more = more

    return Message(Kind.REQUEST, b"frame", 7, None, more if left else None)


def test_metadata_are_read_no_further_than_to_the_key_that_is_asked_for() -> None:
    message = in_steps({"method": "echo"}, "never looked at")
    assert message.get("method") == "echo"
    assert message.metadata == {"method": "echo"}
    assert message.more is not None


def test_a_key_of_a_later_step_is_found_by_reading_on() -> None:
    message = in_steps({"method": "echo"}, {"group": "g1"}, {"zone": "b"})
    assert message.get("zone") == "b"
    assert message.more is None
    assert message.get("group") == "g1"


def test_a_key_that_is_not_there_is_none_after_everything_was_read_once() -> None:
    message = in_steps({"method": "echo"}, {"group": "g1"})
    assert message.get("user") is None
    assert message.more is None
    assert message.get("user") is None


def test_an_empty_value_is_a_value() -> None:
    message = in_steps({"version": ""}, "not looked at")
    assert message.get("version") == ""


def test_what_cannot_be_decoded_is_told_once_and_then_is_simply_not_there() -> None:
    message = in_steps({"method": "echo"}, "attachments end too early")
    with pytest.raises(FrameError, match="end too early"):
        message.get("group")
    assert message.get("group") is None
    assert message.get("method") == "echo"


def test_the_kind_of_a_message_is_metadata_and_needs_no_decoding() -> None:
    assert in_steps("not looked at").get("kind") == "request"
    assert [Message(kind, b"").get("kind") for kind in Kind] == list(KIND_NAMES)


def test_all_that_is_known_is_what_was_read_before_decoding_failed() -> None:
    assert in_steps({"method": "echo"}, {"group": "g1"}).known() == {"kind": "request", "method": "echo", "group": "g1"}
    broken = in_steps({"method": "echo"}, "too short")
    assert broken.known() == {"kind": "request", "method": "echo"}
    assert broken.get("group") is None
    assert Message(Kind.RESPONSE, b"").known() == {"kind": "response"}


@pytest.mark.parametrize(
    "other",
    [
        Message(Kind.ONEWAY, b"frame", 7, {"a": "b"}),
        Message(Kind.REQUEST, b"other", 7, {"a": "b"}),
        Message(Kind.REQUEST, b"frame", 8, {"a": "b"}),
        Message(Kind.REQUEST, b"frame", 7, {"a": "c"}),
        Message(Kind.REQUEST, b"frame", 7, {"a": "b"}, answer=b""),
        Message(Kind.REQUEST, b"frame", 7, {"a": "b"}, hold=Hold.OPEN),
        Message(Kind.REQUEST, b"frame", 7, {"a": "b"}, profile=1),
        "a text",
    ],
    ids=["kind", "frame", "id", "metadata", "answer", "hold", "profile", "no message"],
)
def test_messages_are_equal_when_everything_of_them_is(other: object) -> None:
    one = Message(Kind.REQUEST, b"frame", 7, {"a": "b"})
    assert one == Message(Kind.REQUEST, b"frame", 7, {"a": "b"})
    assert one == in_steps({"a": "b"})
    assert one != other


def test_no_message_has_a_dict_of_its_own() -> None:
    for made in (Message(Kind.REQUEST, b""), Reply(None), Mutation(), Part(Message(Kind.REQUEST, b""), 0)):
        assert not hasattr(made, "__dict__"), type(made).__name__


def test_what_a_failed_assertion_shows_tells_what_it_was() -> None:
    assert repr(Message(Kind.ERROR, b"abc", 7, {"a": "b"})) == "Message(ERROR, id=7, 3 bytes, {'a': 'b'})"
    assert repr(Reply(ErrorKind.DENIED, "no")) == "Reply(denied, 'no')"
    assert repr(Reply(None, frame=b"+OK")) == "Reply(None, '')"
    assert repr(Mutation({"a": "b"}, ("c",))) == "Mutation(set={'a': 'b'}, remove=('c',))"


def test_a_mutation_keeps_its_own_copy_of_what_it_sets() -> None:
    given = {"a": "b"}
    mutation = Mutation(given)
    given["a"] = "changed"
    assert (mutation.set, mutation.remove) == ({"a": "b"}, ())


def test_outcomes_are_words_that_a_metrics_label_and_a_configuration_can_hold() -> None:
    assert all(kind.value.replace("_", "").isalpha() and kind.value.islower() for kind in ErrorKind)
    assert len({kind.value for kind in ErrorKind}) == len(ErrorKind)


def test_kinds_of_requests_sort_before_all_others() -> None:
    """The path tells them apart by one comparison: `kind <= ONEWAY`."""
    assert [kind for kind in Kind if kind <= Kind.ONEWAY] == [Kind.REQUEST, Kind.ONEWAY]


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse((Path(str(module.__file__)).parent / "message.py").read_text())
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {"__future__", "collections.abc", "enum", "typing"}


def test_logs_show_the_text_of_a_reply_unless_they_are_to_show_something_else() -> None:
    assert Reply(ErrorKind.DENIED, "no").details == "no"
    assert Reply(ErrorKind.DENIED, "no", details="policy 7").details == "policy 7"


class Call(Message):
    __slots__ = ("owner",)


def test_a_copy_has_what_a_codec_set_and_what_a_subclass_has() -> None:
    call = Call(Kind.REQUEST, b"frame", 7, {"a": "b"}, None, b"answer", Hold.OPEN, ("p",))
    call.owner = "o"  # type: ignore[attr-defined]
    call.oneway = True
    other = copy.copy(call)
    assert (type(other), other == call, other.owner, other.oneway) == (Call, True, "o", True)  # type: ignore[attr-defined]
    assert getattr(other, "refused", None) is None


def test_metadata_that_messages_share_are_a_key_and_not_to_be_changed() -> None:
    shared, alike = Shared(method="buy"), Shared(method="buy")
    assert shared == alike == {"method": "buy"} and shared != {"method": "sell"}
    assert hash(shared) != hash(alike)
    assert shared | {"a": "b"} == {"method": "buy", "a": "b"}
    changes: list[Callable[[], object]] = [
        lambda: shared.update(method="sell"), lambda: shared.pop("method"), shared.clear, shared.popitem,
        lambda: shared.setdefault("a", "b"), lambda: operator.setitem(shared, "a", "b"),
        lambda: operator.delitem(shared, "method"), lambda: operator.ior(shared, {"a": "b"}),
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(TypeError, match="other messages"):
            change()
    copies = copy.copy(shared), copy.deepcopy(shared), pickle.loads(pickle.dumps(shared)), shared.copy()
    assert [(type(one), one) for one in copies] == 4 * [(dict, {"method": "buy"})]
