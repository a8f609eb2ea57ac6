"""
The interface definition language of Thrift: as much of it as calls need.

Source: thrift.apache.org/docs/idl. Lives here: `read_idl`, which gives the services of a file and of those that it
includes. Constants, default values, namespaces and annotations are read and left out. Does not: what types are
(`thrift_types`), values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from metaproxy.filters.transcode.thrift_types import Enum, Field, Function, Service, Struct, Type

MOST = 4 << 20
"""Bytes of a file."""
MAX_FILES = 100
MAX_DEPTH = 32
"""Containers within containers in one type."""
BASES = {
    "bool": "bool", "byte": "i8", "i8": "i8", "i16": "i16", "i32": "i32", "i64": "i64", "double": "double",
    "string": "string", "binary": "binary", "slist": "string", "uuid": "uuid",
}  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<gap>[ \t\r\n]+|//[^\n]*|\#[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<number>[+-]?(?:0x[0-9A-Fa-f]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))
    |(?P<word>[A-Za-z_][\w.\-]*)
    |(?P<sign>[{}()\[\]<>=:;,*&])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Definitions:
    """What one file defines, by name; what it includes is there as `file.Name`."""

    def __init__(self) -> None:
        self.types: dict[str, Type] = {}
        self.services: dict[str, Service] = {}


def read_idl(path: str) -> Definitions:
    """Raises ValueError, with file and line."""
    return _file(Path(path), {}, ())


def _file(path: Path, known: dict[Path, Definitions], importers: tuple[Path, ...]) -> Definitions:
    path = path.resolve()
    if path in importers:
        raise ValueError(f"{path.name} includes itself")
    if path not in known:
        if len(known) >= MAX_FILES:
            raise ValueError(f"more than {MAX_FILES} files")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} can't be read: {error.strerror}") from None
        if len(data) > MOST:
            raise ValueError(f"{path.name} has more than {MOST} bytes")

        def include(name: str) -> Definitions:
            return _file(path.parent / name, known, (*importers, path))

        known[path] = _Parser(path.name, data.decode("utf-8", "replace"), include).read()
    return known[path]


class _Parser:
    """One file, in two steps: names first, as a type may be used before it is defined; then what they are."""

    def __init__(self, name: str, text: str, include: Callable[[str], Definitions]) -> None:
        self._name = name
        self._text = text
        self._include = include
        self._tokens: list[tuple[str, int]] = []
        self._at = 0
        self.found = Definitions()
        self._later: list[Callable[[], None]] = []
        self._split()

    def _split(self) -> None:
        at, line = 0, 1
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise ValueError(f"{self._name}:{line}: {self._text[at : at + 20]!r} is nothing of Thrift's IDL")
            if match.lastgroup != "gap":
                self._tokens.append((match[0], line))
            line += match[0].count("\n")
            at = match.end()

    # -- tokens

    def _error(self, text: str) -> ValueError:
        line = self._tokens[min(self._at, len(self._tokens) - 1)][1] if self._tokens else 1
        return ValueError(f"{self._name}:{line}: {text}")

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise self._error("the file ends in the middle of a definition")
        self._at += 1
        return token

    def _accept(self, *tokens: str) -> bool:
        if self._peek() in tokens:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        found = self._next()
        if found != token:
            self._at -= 1
            raise self._error(f"{token!r} expected, {found!r:.40} read")

    def _word(self) -> str:
        found = self._next()
        if not re.match(r"[A-Za-z_]", found):
            self._at -= 1
            raise self._error(f"a name expected, {found!r:.40} read")
        return found

    def _end(self) -> None:
        """What may stand behind a definition, a field, a value."""
        self._annotations()
        self._accept(",", ";")

    def _annotations(self) -> None:
        if self._peek() == "(":
            self._skip("(", ")")

    def _skip(self, opening: str, closing: str) -> None:
        self._expect(opening)
        depth = 1
        while depth:
            token = self._next()
            depth += (token == opening) - (token == closing)

    def _value(self) -> None:
        """A constant, which says nothing of what is on the wire."""
        if self._peek() in ("[", "{"):
            self._skip(self._peek(), {"[": "]", "{": "}"}[self._peek()])
        else:
            self._next()

    # -- definitions

    def read(self) -> Definitions:
        for name in BASES:
            self.found.types[name] = Type(BASES[name])
        while self._peek():
            self._definition()
        for each in self._later:
            each()
        return self.found

    def _definition(self) -> None:
        word = self._word()
        if word == "namespace":
            self._next()
            self._next()
            self._annotations()
        elif word in ("include", "cpp_include"):
            name = self._next()[1:-1]
            if word == "include":
                self._included(name)
        elif word == "const":
            self._type()
            self._word()
            self._expect("=")
            self._value()
        elif word == "typedef":
            self._typedef()
        elif word in ("enum", "senum"):
            self._enum()
        elif word in ("struct", "union", "exception"):
            self._struct(word)
        elif word == "service":
            self._service()
        else:
            self._at -= 1
            raise self._error(f"{word!r:.40} begins no definition; allowed are struct, enum, service and the like")
        self._end()

    def _included(self, name: str) -> None:
        try:
            other = self._include(name)
        except ValueError as error:
            raise self._error(str(error)) from None
        prefix = name.rpartition("/")[2].removesuffix(".thrift")
        for kind, type in other.types.items():
            if kind not in BASES:
                self.found.types[f"{prefix}.{kind}"] = type
        for service, found in other.services.items():
            self.found.services[f"{prefix}.{service}"] = found

    def _define(self, name: str, type: Type) -> Type:
        if name in self.found.types:
            raise self._error(f"{name} is defined twice")
        self.found.types[name] = type
        return type

    def _typedef(self) -> None:
        make = self._type()
        made = self._define(self._word(), Type(""))

        def later() -> None:
            other = make()
            made.kind, made.parts, made.struct, made.enum = other.kind, other.parts, other.struct, other.enum

        # Before what uses it: a typedef of a typedef stands behind that one.
        self._later.append(later)

    def _enum(self) -> None:
        name = self._word()
        enum = Enum(name)
        self._define(name, Type("enum", enum=enum))
        self._expect("{")
        number = 0
        while not self._accept("}"):
            value = self._next().strip("\"'")
            if self._accept("="):
                number = self._number()
            enum.values[value] = number
            enum.names.setdefault(number, value)
            number += 1
            self._end()

    def _number(self) -> int:
        token = self._next()
        try:
            return int(token, 0)
        except ValueError:
            self._at -= 1
            raise self._error(f"a number expected, {token!r:.40} read") from None

    def _struct(self, kind: str) -> None:
        name = self._word()
        struct = Struct(name, kind)
        self._define(name, Type("struct", struct=struct))
        self._accept("xsd_all")
        self._expect("{")
        self._fields(struct, "}")

    def _fields(self, struct: Struct, closing: str) -> None:
        unnumbered = -1
        waiting: list[tuple[Field, Callable[[], Type]]] = []
        while not self._accept(closing):
            number = unnumbered
            if re.match(r"[+-]?\d", self._peek()):
                number = self._number()
                self._expect(":")
            else:
                unnumbered -= 1
            required = self._peek() == "required"
            self._accept("required", "optional")
            make = self._type()
            self._accept("&")
            made = Field(number, self._word(), Type(""), required)
            if self._accept("="):
                self._value()
            self._end()
            if any(made.number == each.number or made.name == each.name for each in struct.fields):
                raise self._error(f"{struct.name} has the field {made.number}: {made.name} twice")
            struct.fields.append(made)
            waiting.append((made, make))
        struct.index()

        def later() -> None:
            for each, make in waiting:
                each.type = make()

        self._later.append(later)

    def _type(self, depth: int = 0) -> Callable[[], Type]:
        """What makes the type once all names are known."""
        if depth > MAX_DEPTH:
            raise self._error(f"a type of more than {MAX_DEPTH} containers in each other")
        name = self._word()
        if name not in ("list", "set", "map"):
            at = self._at
            self._annotations()
            return lambda: self._named(name, at)
        if self._accept("cpp_type"):
            self._next()
        self._expect("<")
        makes = [self._type(depth + 1)]
        if name == "map":
            self._expect(",")
            makes.append(self._type(depth + 1))
        self._expect(">")
        if self._accept("cpp_type"):
            self._next()
        self._annotations()
        return lambda: Type(name, tuple(make() for make in makes))

    def _named(self, name: str, at: int) -> Type:
        found = self.found.types.get(name)
        if found is None or not found.kind:
            self._at = at - 1
            raise self._error(f"no type {name!r:.60}" if found is None else f"{name} is defined by what follows it")
        return found

    def _service(self) -> None:
        name = self._word()
        service = Service(name, {})
        self.found.services[name] = service
        if self._accept("extends"):
            base = self._word()
            service.extends = self.found.services.get(base)  # as for the compiler, it stands before
            if service.extends in (None, service):
                raise self._error(f"no service {base!r:.60} above this one")
        self._expect("{")
        while not self._accept("}"):
            self._function(service)

    def _function(self, service: Service) -> None:
        oneway = self._accept("oneway", "async")
        make: Callable[[], Type] | None = None
        if not self._accept("void"):
            make = self._type()
        name = self._word()
        arguments, thrown = Struct(f"{name}_args"), Struct(f"{name}_result")
        self._expect("(")
        self._fields(arguments, ")")
        if self._accept("throws"):
            self._expect("(")
            self._fields(thrown, ")")
        else:
            thrown.index()
        self._end()
        function = Function(name, arguments, None, thrown, oneway)
        service.functions[name] = function

        def later() -> None:
            if make is not None:
                function.returns = make()
                function.result.fields.append(Field(0, "", function.returns))
            function.result.fields += thrown.fields
            function.result.index()

        self._later.append(later)
