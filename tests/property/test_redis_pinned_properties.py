"""Redis with `mode: pinned` against a server in miniature: any commands, any pushes between, any cut of the stream."""

from __future__ import annotations

from itertools import pairwise

from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st

from metaproxy.codecs.redis import Redis
from metaproxy.message import Kind, Side

MOST = 1 << 20
many = examples(100)
CHANNEL = st.sampled_from(["x", "y", "z"])
SOME = st.lists(CHANNEL, min_size=1, max_size=4).map(" ".join)
COMMAND = st.one_of(
    st.sampled_from(
        [
            "GET a", "LRANGE l 0 -1", "PING", "UNSUBSCRIBE", "PUNSUBSCRIBE", "CLIENT REPLY OFF", "CLIENT REPLY ON",
            "client reply skip", "HELLO 2", "HELLO 3", "HELLO 9", "RESET", "CLIENT ID", "BLPOP l 1", "MONITOR",
        ]
    ),
    SOME.map("SUBSCRIBE {}".format), SOME.map("PSUBSCRIBE {}".format), SOME.map("UNSUBSCRIBE {}".format),
    SOME.map("PUNSUBSCRIBE {}".format),
)  # fmt: skip
CUTS = st.lists(st.integers(0, 3000), max_size=8)


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


class Server:
    """What redis-server answers to these commands, and when it sends something by itself."""

    def __init__(self) -> None:
        self.off = False
        self.skip = False
        self.reset()

    def reset(self) -> None:
        self.resp = 2
        self.monitoring = False
        self.channels: dict[str, list[str]] = {"": [], "p": []}

    def subscribed(self) -> bool:
        return any(self.channels.values())

    def push(self, number: int) -> bytes:
        """Something that answers nothing, if there can be anything now."""
        head = b">" if self.resp == 3 else b"*"
        if self.monitoring and number % 3 == 0 and not self.off:
            return b'+17%d.5 [0 127.0.0.1:1] "PING"\r\n' % number
        if self.subscribed() and number % 3 == 1:
            return head + b"3\r\n" + bulk("message") + bulk("x") + bulk("hi")
        return b">2\r\n" + bulk("invalidate") + b"*1\r\n" + bulk("k") if self.resp == 3 else b""

    def answers(self, text: str) -> bytes:
        """The reply to a command, all confirmations together; b"" for none."""
        words = text.upper().split()
        skipped, self.skip = self.skip, False
        if words == ["RESET"]:
            self.reset()
            self.off = False
            return b"+RESET\r\n"
        if self.resp == 2 and self.subscribed() and words[0] not in ("PING",) and "SUBSCRIBE" not in words[0]:
            return b"" if self.off or skipped else b"-ERR only in this context\r\n"
        if words[:2] == ["CLIENT", "REPLY"]:
            return self._reply_mode(words[2])
        found = self._answer(words, text.split())
        return b"" if self.off or skipped else found

    def _reply_mode(self, mode: str) -> bytes:
        if mode == "SKIP":
            self.skip = not self.off
        else:
            self.off = mode == "OFF"
        return b"+OK\r\n" if mode == "ON" else b""

    def _answer(self, words: list[str], said: list[str]) -> bytes:
        if words[0] == "HELLO":
            if words[1] == "9":
                return b"-NOPROTO unsupported protocol version\r\n"
            self.resp = int(words[1])
            return (b"%1\r\n" if self.resp == 3 else b"*2\r\n") + bulk("proto") + b":%d\r\n" % self.resp
        if "SUBSCRIBE" in words[0]:
            return self._confirmations(words[0].lower(), said[1:])
        if words[0] == "MONITOR":
            first, self.monitoring = not self.monitoring, True
            return b"+OK\r\n" if first else b""
        if words[0] == "LRANGE":
            return b"*3\r\n" + bulk("message") + bulk("x") + bulk("hi")
        if words[0] == "PING" and self.resp == 2 and self.subscribed():
            return b"*2\r\n" + bulk("pong") + bulk("")
        return {"GET": b"$-1\r\n", "PING": b"+PONG\r\n", "CLIENT": b":7\r\n", "BLPOP": b"*-1\r\n"}[words[0]]

    def _confirmations(self, word: str, names: list[str]) -> bytes:
        mine = self.channels["p" if word[0] == "p" else ""]
        ending = "un" in word
        found = b""
        for name in names or (list(mine) or [""]):
            if ending and name in mine:
                mine.remove(name)
            elif not ending and name not in mine:
                mine.append(name)
            total = sum(map(len, self.channels.values()))
            null = b"$-1\r\n" if self.resp == 2 else b"_\r\n"
            head = b">" if self.resp == 3 else b"*"
            found += head + b"3\r\n" + bulk(word) + (bulk(name) if name else null) + b":%d\r\n" % total
        return found


def is_as_expected(texts: list[str]) -> bool:
    """
    Without what a client can't tell beforehand: a CLIENT REPLY or MONITOR that is refused while subscribed; nor
    subscriptions without a confirmation, as nothing tells how many there are.
    """
    server = Server()
    for text in texts:
        refused = server.resp == 2 and server.subscribed() and text.upper().startswith(("CLIENT", "MONITOR"))
        if refused or (not server.answers(text) and "SUBSCRIBE" in text):
            return False
    return True


def said(text: str) -> bytes:
    return b"*%d\r\n" % len(text.split()) + b"".join(map(bulk, text.split()))


@given(
    st.lists(COMMAND, max_size=25).filter(is_as_expected),
    st.lists(st.integers(0, 99), min_size=26, max_size=26),
    st.lists(st.booleans(), min_size=26, max_size=26),
    CUTS,
)
@many
def test_each_command_has_its_own_reply_and_all_else_is_an_event(
    texts: list[str], numbers: list[int], pauses: list[bool], cuts: list[int]
) -> None:
    codec = Redis(mode="pinned")
    client, server, real = codec.session(Side.CLIENT, MOST), codec.session(Side.SERVER, MOST), Server()
    server.open(None, {})
    stream, expected, found = b"", [], []

    def hear() -> None:
        nonlocal stream
        places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
        for start, stop in pairwise(places):
            found.extend(server.receive(stream[start:stop]))
        stream = b""

    for text, number, pause in zip(texts, numbers, pauses, strict=False):
        (message,) = client.receive(said(text))
        server.send(message, 0)
        answer = real.answers(text)
        assert (message.kind is Kind.ONEWAY) is (answer == b""), text
        if answer:
            stream += answer
            expected.append(answer)
        event = real.push(number)
        stream += event
        if event:
            expected.append(event)
        if pause:
            hear()
    hear()
    assert server.error is None
    assert [each.frame for each in found] == expected
    answers = [each for each in found if each.kind in (Kind.RESPONSE, Kind.ERROR)]
    assert len(found) - len(answers) == sum(each.kind is Kind.EVENT for each in found)
    replies = [each.frame.startswith((b"*3\r\n$7\r\nmessage", b">", b"+17")) for each in answers]
    assert sum(replies) <= sum("SUBSCRIBE" in text.upper() or text.startswith("LRANGE") for text in texts)


@given(st.lists(COMMAND, min_size=1, max_size=12), CUTS)
@many
def test_commands_are_the_same_however_the_stream_is_cut(texts: list[str], cuts: list[int]) -> None:
    frames = [*map(said, texts)]
    stream = b"".join(frames)
    whole = Redis(mode="pinned").session(Side.CLIENT, MOST).receive(stream)
    assert [message.frame for message in whole] == frames
    session = Redis(mode="pinned").session(Side.CLIENT, MOST)
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [message for start, stop in pairwise(places) for message in session.receive(stream[start:stop])]
    assert pieces == whole


@given(st.lists(COMMAND, max_size=25), CUTS)
@example(["SUBSCRIBE x", "client reply skip", "PSUBSCRIBE x", "SUBSCRIBE x", "PSUBSCRIBE x x"], [])
@many
def test_what_a_server_sends_reaches_the_client_whole_and_in_order_whatever_it_refused(
    texts: list[str], cuts: list[int]
) -> None:
    codec = Redis(mode="pinned")
    client, server, real = codec.session(Side.CLIENT, MOST), codec.session(Side.SERVER, MOST), Server()
    server.open(None, {})
    stream = b""
    for text in texts:
        (message,) = client.receive(said(text))
        server.send(message, 0)
        stream += real.answers(text)
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    found = [message for start, stop in pairwise(places) for message in server.receive(stream[start:stop])]
    assert server.error is None
    passed = [message for message in found if message.kind is not Kind.SILENCE]
    held = stream[sum(len(message.frame) for message in passed) :]
    assert b"".join(message.frame for message in passed) + held == stream
    assert held == b"" or b"subscribe" in held
