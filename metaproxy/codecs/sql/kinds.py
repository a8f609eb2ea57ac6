"""
What the statements of a SQL text do, by the words that they begin with and those that begin others within them.

A statement may carry another one: WITH ... (DELETE ...), EXPLAIN ANALYZE DELETE, COPY (DELETE ...), PREPARE, DO. Who
refuses a kind of statement means that, too. Lives here: `Kinds`. Does not: words themselves (`outline`).
"""

from __future__ import annotations

import re

_READING = frozenset(("select", "values", "table"))
_CHANGING = frozenset(("insert", "update", "delete", "merge", "replace"))
_MAIN = _READING | _CHANGING
"""What a WITH may stand in front of."""
_NAME_BEHIND = frozenset(("with", "recursive", ","))
"""Behind these a WITH has a name."""
_FUNCTIONS = frozenset(("insert", "replace"))
"""Those that change something which are functions before a (."""
_NONE_BEHIND = _NAME_BEHIND | {"for", "on", "before", "after", "or", "of", "from", ".", "grant", "revoke"}
"""Behind these a word begins no statement: FOR UPDATE, ON DELETE CASCADE, CREATE OR REPLACE, a privilege."""
_COMPOUND = frozenset(("if", "for", "while", "loop", "repeat", "case"))
"""What MariaDB's statements begin with that hold any others."""
_IN_TEXT = re.compile(r"\b(?:(?:update|delete|merge|execute)\b|(?:insert|replace)\b(?!\s*+\())", re.IGNORECASE)
_PLAIN, _DOLLAR = "'\"", "$"


class Kinds:
    """
    Takes in the tokens of a text. mysql: whether it is of that dialect. begun: the first word of each statement; of a
    WITH the word that says what is done, where that only reads the first one within that changes something. within: the
    words that begin others, as far as they change something. opaque: what is carried out can't be seen.
    """

    def __init__(self, mysql: bool) -> None:
        self.begun: list[str] = []
        self.within: dict[str, None] = {}
        self.opaque = False
        self._mysql = mysql
        self._open = False  # a statement has begun
        self._depth = 0  # of its parentheses
        self._with = self._names = False  # it begins with WITH; and its main word is to come
        self._changes: dict[str, None] = {}  # of those within it
        self._maybe = ""  # a word that is one of those unless a ( follows
        self._last = self._before = ""  # the two tokens before
        self._carries = False  # it carries out a text
        self._texts = 0

    def word(self, word: str) -> None:
        if not self._open:
            self._begin(word)
            self._with = self._names = word == "with"
            self._carries = word == ("prepare" if self._mysql else "do")
            self.opaque = self.opaque or (self._mysql and word in _COMPOUND)
        else:
            self._settle()
            self._go_on(word)
        self._before, self._last = self._last, word

    def _begin(self, token: str) -> None:
        self._open = True
        self.begun.append(token)
        self._depth = self._texts = 0

    def _go_on(self, word: str) -> None:
        if self._names and not self._depth and word in _MAIN and self._last not in _NAME_BEHIND:
            self.begun[-1] = word
            self._names = False
        elif word in _CHANGING:
            if self._last not in _NONE_BEHIND and (self._before, self._last) != ("no", "key"):
                self._maybe = word
        elif self._mysql and (self._last, word) == ("execute", "immediate"):
            self._carries = True
        elif self._mysql and (self._last, word) == ("begin", "not"):
            self.opaque = True
        if self._carries:
            self._beside_text(word)

    def _beside_text(self, word: str) -> None:
        if not self._mysql:
            self.opaque = self.opaque or word not in ("language", "plpgsql")
        elif self._texts:
            self._carries = False  # values follow
            self.opaque = self.opaque or word != "using"

    def text(self, text: str) -> None:
        """A value. text: as it is written; '' for a number and the like."""
        self.other("?")
        if self._carries and text:
            self._texts += 1
            found = [word.lower() for word in _IN_TEXT.findall(text)]
            is_plain = text[0] == _DOLLAR or (text[0] in _PLAIN and "\\" not in text)
            self.opaque = self.opaque or self._texts > 1 or not is_plain or "execute" in found
            self._changes.update(dict.fromkeys(found))

    def rows(self) -> None:
        """Values in ()."""
        for token in "(?)":
            self.other(token)

    def other(self, token: str) -> None:
        if token == "(":
            self._depth += self._open
            if self._maybe in _FUNCTIONS:
                self._maybe = ""
        elif token == ")":
            self._depth -= 1
        elif not self._open:
            self._begin(token)
        self._settle()
        is_label = self._mysql and token == ":" and [self._last] == self.begun[-1:]  # of a compound statement
        is_no_text = self._carries and token != "?" and token[0] not in '"`'
        self.opaque = self.opaque or is_label or is_no_text
        self._before, self._last = self._last, token

    def _settle(self) -> None:
        if self._maybe:
            self._changes[self._maybe] = None
            self._maybe = ""

    def end(self) -> None:
        """A statement ends, if one has begun."""
        self._settle()
        self.opaque = self.opaque or (self._carries and not self._texts)
        if self._changes:
            if self._with and self.begun[-1] in _READING:
                self.within[self.begun[-1]] = None
                self.begun[-1] = next(iter(self._changes))
            self.within.update(self._changes)
            self._changes = {}
        self._open = self._with = self._names = self._carries = False
        self._before = self._last = ""
