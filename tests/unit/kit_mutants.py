"""
Four codecs and the mistakes that their authors could have made, each a substitution in the source of one.

Lives here: `FAMILIES`: of each example codec the frames, and `mutants`: what is wrong, and the edits that make it so.
An edit whose text begins with "framing:" is made in the source of metaproxy.codecs.framing. Does not: any assertion.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metaproxy.codecs import framing

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
IN_FRAMING = "framing:"

Edits = Sequence[tuple[str, str]]


class Family(NamedTuple):
    """file: of the codec; make: the name of its class; arguments: what `check_codec` is given besides."""

    file: str
    make: str
    client: list[bytes]
    server: list[bytes]
    arguments: Mapping[str, Any]
    mutants: Mapping[str, Edits]

    def codec(self, edits: Edits = ()) -> Any:
        """The codec with the edits made. An edit that finds nothing to change is a mistake of ours."""
        ours = [edit for edit in edits if not edit[0].startswith(IN_FRAMING)]
        base = [(old.removeprefix(IN_FRAMING), new) for old, new in edits if old.startswith(IN_FRAMING)]
        names: dict[str, Any] = {}
        if base:
            changed = _module("mutated_framing", Path(framing.__file__).read_text(), base)
            names = {name: value for name, value in vars(changed).items() if not name.startswith("__")}
        text = (EXAMPLES / self.file).read_text()
        if names:
            text = text.replace("from metaproxy.codecs.framing import", "from mutated_framing import")
        module = _module(f"mutated_{self.make}", text, ours)
        return getattr(module, self.make)()


def _module(name: str, text: str, edits: Edits) -> types.ModuleType:
    for old, new in edits:
        assert old in text, f"nothing to change: {old!r}"
        text = text.replace(old, new)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, name, "exec"), vars(module))
    return module


def _quill() -> Family:
    call = bytes.fromhex("0000000f 0000000000000007 04 6563686f 6869")
    short = bytes.fromhex("0000000d 0000000000000008 03 736179 21")
    answer = bytes.fromhex("0000000b 0000000000000007 00 6869")
    error = bytes.fromhex("0000000b 0000000000000008 80 6e6f")
    size = "4 + HEAD.unpack_from(data, at)[0]"
    new_id = 'frame[:4] + id.to_bytes(8, "big") + frame[12:]'
    reply = "HEAD.pack(9 + len(text.encode()), request.id, 0x80) + text.encode()"
    last = 'quill = Declaration(ICodec, "quill", Quill)'
    method = "    def renumber(self"

    def adds(code: str) -> Edits:
        return [(method, code + "\n\n" + method)]

    mutants: dict[str, Edits] = {
        "the id stays": [(new_id, "frame")],
        "the id in the wrong place": [(new_id, 'frame[:3] + id.to_bytes(8, "big") + frame[11:]')],
        "the id in the wrong order of bytes": [(new_id, 'frame[:4] + id.to_bytes(8, "little") + frame[12:]')],
        "the id cut to 32 bits": [(new_id, 'frame[:4] + (id & 0xFFFFFFFF).to_bytes(8, "big") + frame[12:]')],
        "the id cut to 16 bits": [(new_id, 'frame[:4] + (id & 0xFFFF).to_bytes(8, "big") + frame[12:]')],
        "the last byte lost by renumbering": [(new_id, new_id + "[:-1] + b'?'")],
        "a greatest id that does not fit": [('name = "quill"', 'name = "quill"\n    max_id = 1 << 70')],
        "the greatest id is not possible": [(new_id, 'frame[:4] + id.to_bytes(8, "big", signed=True) + frame[12:]'),
                                            ('name = "quill"', 'name = "quill"\n    max_id = (1 << 64) - 1')],
        "ids are counted from one more": [("Message(Kind.REQUEST, frame, id,", "Message(Kind.REQUEST, frame, id + 1,")],
        "answers have no id": [("Kind.RESPONSE, frame, id)", "Kind.RESPONSE, frame, 0)")],
        "a reply under id 0": [(reply, reply.replace("request.id", "0"))],
        "a reply under the id of the first": [(reply, reply.replace("request.id", "7"))],
        "a reply of the wrong length": [(reply, reply.replace("9 + len(text.encode())", "9 + len(text)"))],
        "a reply one byte short": [(reply, reply + "[:-1]")],
        "a reply that is a success": [(reply, reply.replace("0x80", "0"))],
        "no reply": [(reply, 'b""')],
        "a reply that fails for some kinds": [(reply, "{ErrorKind.NOT_FOUND: b''}[kind]")],
        "a reply that is text": [(reply, "text")],
        "errors are taken for answers": [("Kind.ERROR if n else Kind.RESPONSE", "Kind.RESPONSE")],
        "answers are taken for errors": [("Kind.ERROR if n else Kind.RESPONSE", "Kind.ERROR")],
        "the service is not checked": [("len(frame) < 13 + n", "False"), (".decode", "[n - 1:].decode()[0] and frame[13:].decode")],
        "an IndexError for a short service": [("if len(frame) < 13 + n:", "if frame[12 + n] and False:")],
        "a ValueError in place of a FrameError": [("raise FrameError", "raise ValueError")],
        "text that is no latin-1 raises": [('decode("latin-1")', 'decode("ascii")')],
        "metadata in capitals only": [('{"service":', '{"Service":')],
        "metadata that are no text": [('frame[13 : 13 + n].decode("latin-1")', "frame[13 : 13 + n]")],
        "a frame that can be changed": [("Message(Kind.REQUEST, frame,", "Message(Kind.REQUEST, bytearray(frame),")],
        "the frame without its head": [("Message(Kind.REQUEST, frame,", "Message(Kind.REQUEST, frame[4:],")],
        "a kind that is a number": [("Message(Kind.REQUEST,", "Message(0,")],
        "requests are events": [("Message(Kind.REQUEST,", "Message(Kind.EVENT,")],
        "requests drain": [("Message(Kind.REQUEST,", "Message(Kind.DRAIN if n == 3 else Kind.REQUEST,")],
        "keys is a list": [('keys = {"service": "the service that is called"}', 'keys = ["service"]')],
        "correlation is a word": [('name = "quill"', 'name = "quill"\n    correlation = "id"')],
        "connections is no mode": [('name = "quill"', 'name = "quill"\n    connections = "shared"')],
        "no name": [('name = "quill"', 'name = ""')],
        "first in, first out, with ids": [
            ('name = "quill"', 'name = "quill"\n    from metaproxy.message import Correlation as C\n    correlation = C.FIFO')
        ],
        "safe gives no bool": adds("    def safe(self, request):\n        return request.get('service')"),
        "safe raises": adds("    def safe(self, request):\n        return request.metadata['method']"),
        "confidential gives None": adds("    def confidential(self, request):\n        pass"),
        "alive raises": adds("    def alive(self, answer):\n        return answer.metadata['up'] == 'yes'"),
        "a probe that is no message": adds("    def probe(self):\n        return b'ping'"),
        "a probe that nobody can read": adds("    def probe(self):\n        return Message(Kind.REQUEST, b'ping', 1)"),
        "a probe in two messages": adds(
            "    def probe(self):\n        return Message(Kind.REQUEST, (HEAD.pack(10, 1, 1) + b'x') * 2, 1)"
        ),
        "an unhashable profile": [('decode("latin-1")})', 'decode("latin-1")}, profile=[])')],
        "the size one byte too small": [(size, size.replace("4 +", "3 +"))],
        "the size one byte too great": [(size, size.replace("4 +", "5 +"))],
        "the size of 16 bits": [(size, "4 + (HEAD.unpack_from(data, at)[0] & 0xFFFF)")],
        "the size is negative": [(size, '4 + int.from_bytes(data[at:at+4], "big", signed=True)'),
                                 ("framing:if not head <= size <= self._max:", "if size > self._max:")],
        "a size of nothing": [(size, "HEAD.unpack_from(data, at)[0] and " + size),
                              ("framing:if not head <= size <= self._max:", "if size > self._max:")],
        "max_frame is not allowed": [("framing:<= size <= self._max:", "<= size < self._max:")],
        "max_frame and one byte are allowed": [("framing:<= size <= self._max:", "<= size <= self._max + 1:")],
        "max_frame counts without the head": [("framing:<= size <= self._max:", "<= size <= self._max + 4:")],
        "no bound at all": [("framing:<= size <= self._max:", "<= size:")],
        "refused when it is whole": [("framing:if not head <= size <= self._max:", "if size <= end - offset and not head <= size <= self._max:")],
        "held bytes are copied at each read": [
            ("framing:            if self.buffered < self._need:\n                return []\n            data = bytes(self._held)",
             "            data = bytes(self._held)")
        ],
        "held bytes are joined at each read": [
            ("framing:            self._held += data\n            self.buffered += len(data)\n            if self.buffered < self._need:\n",
             "            self._held = bytearray(bytes(self._held) + data)\n            self.buffered += len(data)\n            if self.buffered < self._need:\n")
        ],
        "what is left is copied at each frame": [
            ("framing:                offset = stop\n        except FrameError as error:\n            self.error = error\n            return messages\n        if offset < end:\n            self._held += data[offset:] if offset else data\n            self.buffered = end - offset\n            self._need = need\n        return messages\n\n    def send(self, message: Message, id: int) -> bytes:\n        if self._renumber is None or message.id == id:\n            return message.frame\n        return self._renumber(message.frame, id)\n\n\nclass VariableHead",
             "                data = data[stop:]\n                end = len(data)\n        except FrameError as error:\n            self.error = error\n            return messages\n        if data:\n            self._held += data\n            self.buffered = end\n            self._need = need\n        return messages\n\n    def send(self, message: Message, id: int) -> bytes:\n        if self._renumber is None or message.id == id:\n            return message.frame\n        return self._renumber(message.frame, id)\n\n\nclass VariableHead")
        ],
        "buffered is never set": [("framing:            self.buffered = end - offset\n            self._need", "            self._need"), ("framing:        if self.buffered:\n            # A", "        if self._held:\n            # A")],
        "buffered counts the whole read": [("framing:self.buffered = end - offset\n            self._need", "self.buffered = end\n            self._need")],
        "buffered stays": [("framing:            self._held = bytearray()\n            self.buffered = 0\n        messages: list[Message] = []\n        offset, end, head", "            self._held = bytearray()\n        messages: list[Message] = []\n        offset, end, head")],
        "state in the class": [("framing:        self._held = bytearray()\n        self._need = head\n\n    def receive", "        self._need = head\n\n    _held = bytearray()\n\n    def receive"),
                               ("framing:            data = bytes(self._held)\n            self._held = bytearray()\n            self.buffered = 0\n        messages: list[Message] = []\n        offset, end, head", "            data = bytes(self._held)\n            self._held.clear()\n            self.buffered = 0\n        messages: list[Message] = []\n        offset, end, head")],
        "messages before a bad frame are lost": [("framing:            self.error = error\n            return messages\n        if offset < end:\n            self._held += data[offset:] if offset else data\n            self.buffered = end - offset\n            self._need", "            self.error = error\n            return []\n        if offset < end:\n            self._held += data[offset:] if offset else data\n            self.buffered = end - offset\n            self._need")],
        "messages after an error": [("framing:        if self.error is not None:\n            return []\n        if self.buffered:\n            # A", "        if self.buffered:\n            # A")],
        "the error is forgotten": [("framing:        if self.error is not None:\n            return []\n        if self.buffered:\n            # A", "        if self.error is not None:\n            self.error = None\n            return []\n        if self.buffered:\n            # A")],
        "the error is no FrameError": [("framing:            self.error = error\n            return messages\n        if offset < end:\n            self._held += data[offset:] if offset else data\n            self.buffered = end - offset\n            self._need", "            self.error = str(error)\n            return messages\n        if offset < end:\n            self._held += data[offset:] if offset else data\n            self.buffered = end - offset\n            self._need")],
        "messages come one at a time": [("framing:                messages.append(self._parse(data[offset:stop]))\n                offset = stop\n        except FrameError as error:\n            self.error = error\n            return messages\n        if offset < end:\n            self._held += data[offset:] if offset else data\n            self.buffered = end - offset\n            self._need", "                messages.append(self._parse(data[offset:stop]))\n                offset = stop\n                break\n        except FrameError as error:\n            self.error = error\n            return messages\n        if offset < end:\n            self._held += data[offset:] if offset else data\n            self.buffered = end - offset\n            self._need")],
        "receive gives an iterator": [("framing:            self._need = need\n        return messages", "            self._need = need\n        return iter(messages)")],
        "drain gives text": [("framing:    def drain(self) -> bytes:\n        return b\"\"", "    def drain(self) -> bytes:\n        return 'bye'")],
        "drain gives what nobody can read": [("framing:    def drain(self) -> bytes:\n        return b\"\"", "    def drain(self) -> bytes:\n        return b'bye'")],
        "owed gives None": [("framing:    def owed(self) -> bytes:\n        return b\"\"", "    def owed(self) -> bytes:\n        pass")],
        "closing from the start": [("framing:    closing: bool = False", "    closing: bool = True")],
        "never reusable": [("framing:    reusable: bool = True", "    reusable: bool = False")],
        "never ready": [("framing:    ready: bool = True", "    ready: bool = False")],
        "open gives None": [("framing:-> bytes:\n        return b\"\"\n\n    def receive", "-> bytes:\n        return None\n\n    def receive")],
        "a slow look at each frame": [("        _, id, n = HEAD", "        sum(i * i for i in range(20000))\n        _, id, n = HEAD")],
        "work that is the square of the frame": [("        _, id, n = HEAD", "        sum(1 for a in frame for b in frame)\n        _, id, n = HEAD")],
        "a loop without end for one length": [("        _, id, n = HEAD.unpack_from(frame)\n", "        _, id, n = HEAD.unpack_from(frame)\n        while n == 0xFF:\n            pass\n")],
        "send changes the message": [("    def renumber(self, frame: bytes, id: int) -> bytes:\n", "    def renumber(self, frame: bytes, id: int) -> bytes:\n"),
                                      ("framing:            return message.frame\n        return self._renumber(message.frame, id)\n\n\nclass VariableHead", "            return message.frame\n        message.frame = self._renumber(message.frame, id)\n        return message.frame\n\n\nclass VariableHead")],
    }  # fmt: skip
    assert last in (EXAMPLES / "quill.py").read_text()
    return Family("quill.py", "Quill", [call, short], [answer, error], {}, mutants)


def _crate() -> Family:
    client = [b"get a\r\n", b"get a b c\r\n", b"set a 5\r\nhello\r\n", b"set b 2 noreply\r\nhi\r\n", b"version\r\n"]
    server = [
        b"END\r\n", b"VALUE a 5\r\nhello\r\nEND\r\n", b"VALUE a 1\r\n1\r\nVALUE b 2\r\n\r\n\r\nVALUE c 1\r\n3\r\nEND\r\n",
        b"STORED\r\n", b"ERROR no\r\n", b"VERSION 1\r\n",
    ]  # fmt: skip
    split = "        return [Part(question([keys[place] for place in mine]), mine) for mine in places.values()]\n"
    in_order = 'b"".join(values[place] for place in sorted(values))'
    words = 'words = frame[: frame.index(b"\\n")].decode("latin-1")'
    mutants: dict[str, Edits] = {
        "found by id": [("correlation = Correlation.FIFO", "correlation = Correlation.ID")],
        "ids though there are none": [("Message(Kind.ERROR if word", "Message(id=1, kind=Kind.ERROR if word"), ("else Kind.RESPONSE, frame)", "else Kind.RESPONSE, frame=frame)")],
        "one-way requests are answered": [('b"" if request.kind is Kind.ONEWAY else ', "")],
        "no request is one-way, but none is answered": [("Kind.ONEWAY if quiet else Kind.REQUEST", "Kind.REQUEST"), ("request.kind is Kind.ONEWAY", 'b"noreply" in request.frame')],
        "every set is one-way": [('quiet = command == "set" and', 'quiet = command == "set" or')],
        "every request is one-way": [("Kind.ONEWAY if quiet else Kind.REQUEST", "Kind.ONEWAY")],
        "a line end in a reply": [('letter if letter.isprintable() else " "', "letter")],
        "a reply without a line end": [('f"ERROR {line}\\r\\n"', 'f"ERROR {line}"')],
        "a reply that reads as an answer": [('f"ERROR {line}', 'f"STORED {line}')],
        "a key lost by the split": [("for mine in places.values()]", "for mine in [m[:1] for m in places.values()]]")],
        "a part lost by the split": [("for mine in places.values()]", "for mine in list(places.values())[:2]]")],
        "the first part twice": [("for mine in places.values()]", "for mine in [*places.values(), [0]]]")],
        "keys twice in a part": [("keys[place] for place in mine]", "keys[place] for place in mine + mine]")],
        "keys at the wrong owner": [("places.setdefault(owner(key.decode(\"latin-1\")), [])", "places.setdefault(owner(key.decode(\"latin-1\")) and place % 2, [])")],
        "one part a key": [("for mine in places.values()]", "for mine in [[p] for p in range(len(keys))]]")],
        "the owner is not asked": [("owner(key.decode(\"latin-1\"))", "key")],
        "the owner is asked for bytes": [("owner(key.decode(\"latin-1\"))", "owner(key)")],
        "the whole request to each": [(split, "        return [Part(request, mine) for mine in places.values()]\n")],
        "one endpoint's request is refused": [("        if len(places) < 2:\n            return None\n", "        if len(places) < 2:\n            return []\n")],
        "one endpoint's request is split": [("        if len(places) < 2:\n            return None\n", "")],
        "many endpoints' request is not split": [(split, "        return None\n")],
        "parts that are no Parts": [("[Part(question([keys[place] for place in mine]), mine) for", "[question([keys[place] for place in mine]) for")],
        "parts of another kind": [('return Message(Kind.REQUEST, frame, 0, {"command": "get"', 'return Message(Kind.ONEWAY, frame, 0, {"command": "get"')],
        "parts without a line end": [('b" ".join(keys) + b"\\r\\n"', 'b" ".join(keys)')],
        "the owner's key is another": [('"key": keys[0].decode("latin-1")}', '"key": keys[-1].decode("latin-1") + "x"}')],
        "merged in the order of the endpoints": [("sorted(values)", "values")],
        "merged in the reverse order": [("sorted(values)", "sorted(values, reverse=True)")],
        "merged without what is last": [("sorted(values)", "sorted(values)[:-1]")],
        "merged without an end": [(' + b"END\\r\\n"', "")],
        "merged with an end each": [(in_order, 'b"END\\r\\n".join(values[place] for place in sorted(values))')],
        "errors are left out of the merged answer": [("            if answer.kind is Kind.ERROR:\n                return answer.frame\n", "            if answer.kind is Kind.ERROR:\n                continue\n")],
        "only the first answer's error counts": [("if answer.kind is Kind.ERROR:", "if answers[0].kind is Kind.ERROR:")],
        "merging an error raises": [("            if answer.kind is Kind.ERROR:\n                return answer.frame\n", "            answer.frame[: answer.frame.index(b'END')]\n")],
        "merge gives a message": [(in_order + ' + b"END\\r\\n"', 'answers[0]')],
        "a block is not skipped": [("block=size_of, most=MOST", "most=MOST")],
        "a block without its line end": [("return int(words[2]) + 2\n\n\nclass", "return int(words[2])\n\n\nclass")],
        "a size that is no number": [(" or not words[2].isdigit() or len(words[2]) > 9", "")],
        "a negative size": [("not words[2].isdigit()", "not words[2].lstrip(b'-').isdigit()"), ("framing:if block < 0 or self._need > self._max:", "if self._need > self._max:")],
        "a line that is too short": [("len(words) < 3 or ", "")],
        "a command without arguments": [("words[0], words[1:]\n", "words[0], words[1:]\n        key = words[1]\n")],
        "an unknown command passes with a KeyError": [('.get(command, -1)', "[command]")],
        "an empty line is an IndexError": [('word = frame.split(None, 1)[0] if frame.strip() else b""', "word = frame.split(None, 1)[0]")],
        "safe is a word": [('return request.get("command") in ("get", "version")', 'return request.get("command")')],
        "a probe without an end": [('FENCE = b"version\\r\\n"', 'FENCE = b"version"')],
        "a fence behind every request": [("return message.frame + FENCE if quiet else message.frame", "return message.frame + FENCE")],
        "send gives nothing for a one-way request": [("return message.frame + FENCE if quiet else message.frame", 'return b"" if quiet else message.frame')],
        "no bound on a frame": [("framing:if block < 0 or self._need > self._max:", "if block < 0:"), ("framing:min(self._most, self._max - self._line - width)", "1 << 40")],
        "max_frame is one byte less": [("framing:self._need > self._max:", "self._need >= self._max:")],
        "max_frame is one byte more": [("framing:self._need > self._max:", "self._need > self._max + 1:"), ("framing:self._max - self._line - width)", "self._max + 1 - self._line - width)")],
        "a block is refused when it is whole": [("framing:if block < 0 or self._need > self._max:", "if block < 0 or (self._need > self._max and size >= self._need):")],
        "searched from the start at each read": [("framing:self._seek = max(self._line, size - width + 1)", "self._seek = self._line")],
        "what is held is copied at each read": [("framing:            buffer = held\n", "            buffer = bytes(held)\n            held[:] = buffer\n"), ("framing:        if buffer is held:\n", "        if held:\n")],
        "the delimiter is lost between two reads": [("framing:self._seek = max(self._line, size - width + 1)", "self._seek = size")],
        "buffered is what came last": [("framing:        self.buffered = len(held)\n        return messages\n\n    def _end", "        self.buffered = min(len(held), len(data))\n        return messages\n\n    def _end")],
        "one queue for all connections": [("        self._fences: deque[bool] = deque()  # for each answer that is to come: whether it is a fence's\n", ""), ("    def send(self, message: Message, id: int) -> bytes:\n        quiet", "    _fences: deque[bool] = deque()\n\n    def send(self, message: Message, id: int) -> bytes:\n        quiet")],
        "metadata in the class": [("metadata = {\"command\": command, \"key\": arguments[0]} if arguments else {\"command\": command}", "metadata = {\"command\": command, \"Key\": arguments[0]} if arguments else {\"command\": command}")],
        "answers from clients": [('most = {"get": 64,', 'if command == "version":\n            return Message(Kind.RESPONSE, frame)\n        most = {"get": 64,')],
        "a hold of a number": [("Kind.ONEWAY if quiet else Kind.REQUEST, frame, 0, metadata)", "Kind.ONEWAY if quiet else Kind.REQUEST, frame, 0, metadata, hold=2)")],
        "bytes that are no text": [(words, words.replace("latin-1", "ascii"))],
    }  # fmt: skip
    return Family("crate.py", "Crate", client, server, {}, mutants)


def _ledger() -> Family:
    def frame(type: bytes, body: bytes = b"") -> bytes:
        return (3 + len(body)).to_bytes(2, "big") + type + body

    client = [frame(b"Q", b"show all"), frame(b"B"), frame(b"Q", b"add 1"), frame(b"C"), frame(b"U", b"blue"), frame(b"X")]
    server = [frame(b"R", b"1"), frame(b"E", b"no"), frame(b"N", b"hi")]
    greeting = "        self.ready = not greeting\n"
    query = '        metadata = {"operation": operation, "book": self.book}\n'
    mutants: dict[str, Edits] = {
        "never ready": [("            self.ready = not self.greetings\n", "")],
        "ready at once": [(greeting, "        self.ready = True\n"), ("if self.greetings:", "if not self.ready:")],
        "ready is a number": [(greeting, "        self.ready = int(not greeting)\n")],
        "the login's answer reaches a client": [(' if message.answer is None]', "]")],
        "the login's answer is waited for twice": [("self.greetings = len(greeting)", "self.greetings = 2 * len(greeting)")],
        "a refused login is a success": [('            if type == b"E":\n                raise FrameError(f"login refused: {data[HEAD:][:80]!r}")\n', "")],
        "a refused login is an error for a client": [('                raise FrameError(f"login refused: {data[HEAD:][:80]!r}")\n', "                return Message(Kind.ERROR, data)\n")],
        "a refused login waits": [('                raise FrameError(f"login refused: {data[HEAD:][:80]!r}")\n', '                return Message(Kind.RESPONSE, data, answer=b"")\n')],
        "open gives a list": [('return b"".join(greeting)', "return greeting")],
        "open needs a password": [("credentials.get('password', '')", "credentials['password']")],
        "open fails without credentials": [("        if credentials:\n", "        if credentials['username']:\n")],
        "the transaction never closes": [('("commit", Hold.CLOSE)', '("commit", Hold.NONE)')],
        "the transaction never opens": [('("begin", Hold.OPEN)', '("begin", Hold.NONE)')],
        "begin holds for its own answer only": [('("begin", Hold.OPEN)', '("begin", Hold.EXCHANGE)')],
        "begin waits": [('("begin", Hold.OPEN)', '("begin", Hold.WAIT)')],
        "commit opens": [('("commit", Hold.CLOSE)', '("commit", Hold.OPEN)')],
        "a hold that is True": [('("begin", Hold.OPEN)', '("begin", True)')],
        "begin is answered here": [("hold=hold, profile", 'hold=hold, answer=frame(b"R") if hold is Hold.OPEN else None, profile')],
        "no connection is reusable": [("        self.greetings = 0 ", "        self.reusable = False\n        self.greetings = 0 ")],
        "reusable is a number": [("        self.greetings = 0 ", "        self.reusable = 1\n        self.greetings = 0 ")],
        "every query says goodbye": [("        operation, hold =", "        self.closing = True\n        operation, hold =")],
        "closing is text": [("            self.closing = True\n", '            self.closing = "yes"\n')],
        "the goodbye is answered with a request": [('answer=frame(b"R", b"bye")', 'answer=frame(b"Q", b"bye")')],
        "the goodbye's answer has the wrong length": [('answer=frame(b"R", b"bye")', 'answer=frame(b"R") + b"bye"')],
        "use is answered by text": [('answer=frame(b"R", b"used")', 'answer="used"')],
        "use is answered by an unknown type": [('answer=frame(b"R", b"used")', 'answer=frame(b"V", b"used")')],
        "the profile can't be hashed": [("profile=self.book or None", "profile={self.book}")],
        "the book in the class": [('        self.book = ""\n', ""), ("    def parse(self, data: bytes) -> Message:\n        type, body", "    book = \"\"\n\n    def parse(self, data: bytes) -> Message:\n        type, body"), ("            self.book = body", "            Client.book = body")],
        "the book in the codec": [('        self.book = ""\n', ""), ("class Client(LengthFramed):", "BOOKS: dict[str, str] = {}\n\n\nclass Client(LengthFramed):"), ("            self.book = body.decode(\"latin-1\")\n", "            BOOKS['book'] = body.decode(\"latin-1\")\n"), ("self.book", "BOOKS.get('book', '')")],
        "an unknown type is a KeyError": [('OPERATIONS.get(type, ("", Hold.NONE))', "OPERATIONS[type]")],
        "unknown answers are answers": [('        if type not in (b"R", b"E", b"N"):\n            raise FrameError(f"no answer of type {type!r}")\n', '        {b"R": 1, b"E": 2, b"N": 3}[type]\n')],
        "the reply is an answer": [('return frame(b"E", text.encode())', 'return frame(b"R", text.encode())')],
        "the reply is a notice": [('return frame(b"E", text.encode())', 'return frame(b"N", text.encode())')],
        "the reply counts letters": [('return frame(b"E", text.encode())', 'return frame(b"E", b" " * len(text))[:3] + text.encode()')],
        "notices come from clients": [('if type == b"X":', 'if type == b"C":\n            return Message(Kind.EVENT, data)\n        if type == b"X":')],
        "a size that counts the body only": [("return data[offset] << 8 | data[offset + 1]", "return (data[offset] << 8 | data[offset + 1]) + 2")],
        "confidential raises": [('return b"password" in request.frame', 'return request.metadata["password"] != ""')],
        "safe is None": [('return request.hold is Hold.NONE and request.frame[HEAD:].startswith(b"show")', "return None")],
        "a body that must be text": [(query, query + '        body.decode("ascii")\n')],
        "metadata that are no text": [(query, query.replace("self.book", "self.book or None"))],
        "nothing is sent": [("        return message.frame\n\n    def parse", "        return b''\n\n    def parse")],
        "the probe is an unknown request": [('frame(b"Q", b"show time")', 'frame(b"Z", b"show time")')],
        "stateful is a word": [("stateful = True", 'stateful = "yes"')],
        "the book is found in the frame at any length": [('self.book = body.decode("latin-1")', 'self.book = body[:3].decode("latin-1") + str(body[3])')],
        "an id though there is none": [("return Message(Kind.EVENT, data)", "return Message(Kind.EVENT, data, 1)")],
    }  # fmt: skip
    arguments = {"credentials": {"username": "anna", "password": "pw"}, "login": [frame(b"R")]}
    return Family("ledger.py", "Ledger", client, server, arguments, mutants)


def _parcel() -> Family:
    def string(text: bytes) -> bytes:
        return len(text).to_bytes(2, "big") + text

    def packed(flags: int, id: int, rest: bytes = b"") -> bytes:
        return bytes([0xA7, flags]) + id.to_bytes(4, "big") + len(rest).to_bytes(4, "big") + rest

    pair = string(b"User") + string(b"bob")
    client = [
        packed(1, 7, string(b"echo") + b"\x02" + pair + string(b"zone") + string(b"east") + b"hello"),
        packed(3, 8, string(b"tell") + b"\0x"), packed(5, 9), packed(4, 9),
    ]  # fmt: skip
    server = [
        packed(0, 7, b"\1" + string(b"size") + string(b"5") + b"hello"), packed(8, 7, b"no"), packed(5, 3), packed(4, 3),
        packed(16, 0),
    ]  # fmt: skip
    listed = "listed = bytes([len(kept)]) + b"
    kept = "kept = {key: value for key, value in pairs.items() if key not in mutation.remove}"
    rest = "rest = frame[HEAD.size : start] + listed + frame[stop:]"
    beat = 'answer=packed(HEARTBEAT, id) if flags & REQUEST else b""'
    found = "found = {key.lower(): value for key, value in pairs.items()} | pairs"
    mutants: dict[str, Edits] = {
        "no heartbeat is answered": [(beat, "")],
        "heartbeats are answered by nothing": [(beat, 'answer=b""')],
        "heartbeats are answered under id 0": [(beat, beat.replace(", id)", ", 0)"))],
        "heartbeats are answered by a request": [(beat, beat.replace("packed(HEARTBEAT,", "packed(HEARTBEAT | REQUEST,"))],
        "heartbeats are answered by a call": [(beat, beat.replace("packed(HEARTBEAT, id)", 'packed(ONEWAY | REQUEST, id, b"\\0\\0\\0")'))],
        "heartbeats are answered by half": [(beat, beat.replace("id) if", "id)[:-1] if"))],
        "heartbeats are answered by text": [(beat, beat.replace("packed(HEARTBEAT, id)", "'pong'"))],
        "heartbeats are forwarded": [("if flags & HEARTBEAT:\n            # One", "if flags & HEARTBEAT and False:\n            # One")],
        "heartbeats of clients are requests": [("Message(Kind.HEARTBEAT, frame, id, answer", "Message(Kind.HEARTBEAT if self.side is Side.SERVER else Kind.REQUEST, frame, id, answer")],
        "goodbyes come from clients": [("if flags & GOODBYE and self.side is Side.SERVER:", "if flags & GOODBYE or flags & ONEWAY:")],
        "what is removed stays": [(" if key not in mutation.remove}", "}")],
        "what is set is ignored": [("        kept.update(mutation.set)\n", "")],
        "set before removed": [(kept, "pairs.update(mutation.set)\n        " + kept), ("        kept.update(mutation.set)\n", "")],
        "set does not replace": [("        kept.update(mutation.set)\n", "        kept = {**mutation.set, **kept}\n")],
        "set adds beside": [(listed, "listed = bytes([len(kept) + len(set(pairs) & set(mutation.set) - set(mutation.remove))]) + b\"\".join(string(k) + string(v) for k, v in pairs.items() if k in mutation.set and k not in mutation.remove) + b")],
        "only one key is set": [("        kept.update(mutation.set)\n", "        kept.update(list(mutation.set.items())[:1])\n")],
        "only one key is removed": [("key not in mutation.remove", "key not in mutation.remove[:1]")],
        "all is removed": [("if key not in mutation.remove}", "if not mutation.remove}")],
        "the case of keys is lost": [("        kept.update(mutation.set)\n", "        kept.update({key.lower(): value for key, value in mutation.set.items()})\n")],
        "the case of other keys is lost": [(kept, kept.replace("{key: value", "{key.lower(): value"))],
        "the case of values is lost": [("        kept.update(mutation.set)\n", "        kept.update({key: value.lower() for key, value in mutation.set.items()})\n")],
        "the body is lost": [(rest, "rest = frame[HEAD.size : start] + listed")],
        "the body is in capitals": [(rest, "rest = frame[HEAD.size : start] + listed + frame[stop:].upper()")],
        "the body twice": [(rest, "rest = frame[HEAD.size : start] + listed + frame[stop:] * 2")],
        "a byte of the body is another": [(rest, "rest = frame[HEAD.size : start] + listed + frame[stop:-1] + b'!'")],
        "the length is the old one": [('frame[:6] + struct.pack(">I", len(rest)) + rest', "frame[:10] + rest")],
        "the length counts the head": [('struct.pack(">I", len(rest)) + rest', 'struct.pack(">I", len(rest) + 10) + rest')],
        "the id is lost by a mutation": [('frame[:6] + struct.pack(">I", len(rest))', 'frame[:2] + bytes(4) + struct.pack(">I", len(rest))')],
        "the flags are lost by a mutation": [('frame[:6] + struct.pack(">I", len(rest))', 'frame[:1] + bytes([frame[1] & REQUEST]) + frame[2:6] + struct.pack(">I", len(rest))')],
        "the count is the old one": [("bytes([len(kept)])", "bytes([len(pairs)])")],
        "other attachments are lost": [(kept, "kept = {key: value for key, value in list(pairs.items())[:1] if key not in mutation.remove}")],
        "an empty attachment in a mutation raises": [("        kept.update(mutation.set)\n", "        kept.update({key: mutation.set[key] for key in ['x-metaproxy-check']})\n")],
        "a mutation changes the message": [(rest, rest + "\n        message.frame = rest")],
        "a mutation gives the message": [('return frame[:6] + struct.pack(">I", len(rest)) + rest', "return message")],
        "mutations are said to work and do not": [("        flags = frame[1]\n        if flags & (HEARTBEAT | ERROR | GOODBYE):\n            return frame  # these have no place for attachments\n", "        return frame\n        flags = 0\n")],
        "errors get attachments": [("HEARTBEAT | ERROR | GOODBYE", "HEARTBEAT | GOODBYE"), ("return frame  # these", "return frame  # the")],
        "long values are cut": [('data = text.encode("utf-8", "surrogateescape")\n    if len', 'data = text.encode("utf-8", "surrogateescape")[:255]\n    if len')],
        "metadata as spelled only": [(found, "found = dict(pairs)")],
        "metadata in lower case only": [(found, "found = {key.lower(): value for key, value in pairs.items()}"), ("        kept.update(mutation.set)\n", "        kept.update(mutation.set)\n")],
        "a client chooses its kind": [('    found.pop("kind", None)  # a client must not choose what it is\n', '    found["kind"] = "oneway"\n')],
        "metadata for all messages": [("def more(message: Message) -> None:", "ALL: dict[str, str] = {}\n\n\ndef more(message: Message) -> None:"), ('    message.metadata = {**found, "service": service} if service else found\n', '    ALL.update(found)\n    ALL["service"] = service\n    message.metadata = ALL\n')],
        "more raises a KeyError": [('    found.pop("kind", None)', '    found["user"]\n    found.pop("kind", None)')],
        "more raises a struct.error": [('    if start > len(frame):\n        raise FrameError(f"a string begins at {at}, in a frame of {len(frame)} bytes")\n', '    struct.unpack_from(">H", frame, at)\n')],
        "more raises an IndexError": [('    if at >= len(frame):\n        raise FrameError(f"no attachments at {at}, in a frame of {len(frame)} bytes")\n', "")],
        "more raises for text": [('return frame[start:stop].decode("utf-8", "surrogateescape"), stop', 'return frame[start:stop].decode("utf-8"), stop')],
        "more fails again and again": [("def more(message: Message) -> None:", "def more(message: Message) -> None:\n    message.more = more"), ('    message.metadata = {**found', '    message.more = None\n    message.metadata = {**found')],
        "more changes the frame": [("    service, at = service_of(message.frame)\n", "    service, at = service_of(message.frame)\n    message.frame = message.frame[:]  + b''\n    message.id += 1\n")],
        "metadata are read in a loop without end": [("    while left:\n", "    while left >= 0 if left > 200 else left:\n"), ("        left -= 1\n", "        left -= left < 200\n        at = at if left < 200 else 0\n")],
        "metadata are read with quadratic work": [("        pairs[key], at = read_string(frame, at)\n", "        pairs[key], at = read_string(frame, at)\n        [frame[i:] for i in range(len(frame) * 20)]\n")],
        "errors are answers": [("Message(Kind.ERROR, frame, id) if flags & ERROR else ", "")],
        "one-way requests are requests": [("Kind.ONEWAY if flags & ONEWAY else Kind.REQUEST", "Kind.REQUEST"), ("if request.kind is Kind.ONEWAY:", "if request.frame[1] & ONEWAY:")],
        "one-way requests are answered": [('        if request.kind is Kind.ONEWAY:\n            return b""\n', "")],
        "the magic is not looked at": [("    if magic != MAGIC:\n", "    if magic != MAGIC and length < 0:\n"), ("HEAD.size + length\n", "HEAD.size + length if magic else 1 / length\n")],
        "the length has a sign": [('HEAD = struct.Struct(">BBII")', 'HEAD = struct.Struct(">BBIi")'), ("framing:if not head <= size <= self._max:", "if size > self._max:")],
        "the id has 16 bits": [('return frame[:2] + struct.pack(">I", id) + frame[6:]', 'return frame[:2] + struct.pack(">I", id & 0xFFFF) + frame[6:]')],
        "the greatest id does not fit": [("max_id = (1 << 32) - 1", "max_id = 1 << 32")],
        "renumbered flags": [("return frame[:2] + struct.pack", "return frame[:1] + bytes([frame[1] & ~ONEWAY]) + struct.pack")],
        "the goodbye is a request": [("return packed(GOODBYE, 0) if", "return packed(REQUEST, 0, b'\\0') if")],
        "the goodbye is text": [("return packed(GOODBYE, 0) if", "return 'bye' if")],
        "the probe is forwarded": [("packed(REQUEST | HEARTBEAT, 1), 1)", "packed(REQUEST, 1, string('ping') + b'\\0'), 1)")],
        "the probe gets no answer": [("packed(REQUEST | HEARTBEAT, 1), 1)", "packed(HEARTBEAT, 1), 1)")],
        "alive to nobody": [("return answer.kind is Kind.HEARTBEAT", "return answer.kind is Kind.REQUEST")],
        "alive is the kind": [("return answer.kind is Kind.HEARTBEAT", "return answer.kind")],
        "drained by what is no goodbye": [("return Message(Kind.DRAIN, frame, id)", "return Message(Kind.SKIPPED, frame[:5])")],
        "a reply with the request's flags": [("return packed(ERROR, request.id,", "return packed(ERROR | request.frame[1] & HEARTBEAT | 4, request.id,")],
        "a reply under the wrong id": [("return packed(ERROR, request.id,", "return packed(ERROR, request.id + 1,")],
    }  # fmt: skip
    return Family("parcel.py", "Parcel", client, server, {}, mutants)


FAMILIES = {family.make: family for family in (_quill(), _crate(), _ledger(), _parcel())}
