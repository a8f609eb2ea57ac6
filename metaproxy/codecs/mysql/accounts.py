"""
Who may log in at the proxy: the options `users` and `auth_query`, and the login of a client there.

    login ── of one that a server knows ── it is asked ──┐
      ├── with a proof of a known kind ── right: in      │
      └── another kind, or none ─────────────────────────┴─ asked for one that fits ── right: in
                                   caching_sha2_password, as a server keeps it ── the password itself ── right: in

A client that proves nothing learns nothing: a name that is not known is asked for what one that is known could be. Only
whether a server was asked for a name can be seen, as that takes its time.

Lives here: `Accounts`, `Entrance`. Does not: the question for a user (`user_lookup`), logins at servers
(`upstream_login`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum

from metaproxy.codecs.mysql.handshake import Switch
from metaproxy.codecs.mysql.kept_passwords import Crypt, User
from metaproxy.codecs.mysql.passwords import NATIVE, NO_SECRET, SHA2, SIZES, Secret, new_challenge, proves, shown_by

_MOST_NAME = 128
_MOST_RIGHT = 1000
_SAY_IT = b"\1\4"
"""A server's word that it wants the password itself, behind a proof by caching_sha2_password."""


class Accounts:
    """Users by name, from the option `users`; others a server is asked for. Raises ValueError, without a password."""

    def __init__(self, users: object, asks: bool = False) -> None:
        if users is None and asks:
            users = {}
        elif not isinstance(users, Mapping) or not users:
            raise ValueError("users is a mapping of names to passwords; write {app: {secret: NAME}}")
        self.asks = asks
        self._users: dict[bytes, User] = {}
        for name, password in users.items():
            if not isinstance(name, str) or not name or len(name) > _MOST_NAME or "\0" in name:
                raise ValueError(f"users has {str(name)[:_MOST_NAME]!r}, which is no name of 1 to {_MOST_NAME} letters")
            if not isinstance(password, str) or not password or "\0" in password:
                raise ValueError(f"the password of user {name!r} is no text, or an empty one")
            self._users[name.encode()] = self._user(name.encode(), password.encode())
        self._seed = secrets.token_bytes(16)
        self._decoys: list[User] = []
        self._right: OrderedDict[Crypt, bytes] = (
            OrderedDict()
        )  # what passwords have proved to be, under a key of our own
        for user in self._users.values():
            self.note(user)
        if asks:
            self.note(User(b"", twice=b"-"))

    def _user(self, name: bytes, text: bytes) -> User:
        try:
            return User.kept(name, text) or User(name, text)
        except ValueError as error:
            raise ValueError(f"users: {name.decode()!r}: {error}") from None

    def note(self, user: User) -> None:
        """Users of this kind are there; one that is not may pretend to be of it, unless a server was asked for it."""
        if user.password and self.asks:
            return
        made = User(
            b"",
            secrets.token_bytes(16) if user.password else b"",
            secrets.token_bytes(20) if user.twice else b"",
            Crypt(user.crypt.rounds, secrets.token_bytes(20), b"-" * 43) if user.crypt else None,
        )
        if all(made.kind != decoy.kind for decoy in self._decoys):
            self._decoys.append(made)

    def is_password(self, user: User, said: bytes) -> bool:
        """Whether that is the password of one of whom a server keeps SHA-crypt, which takes its time only once."""
        proof = hmac.digest(self._seed, said, "sha256")
        right = user.crypt is not None and hmac.compare_digest(self._right.get(user.crypt, b""), proof)
        if right or not user.is_password(said) or user.crypt is None:
            return right
        self._right[user.crypt] = proof
        if len(self._right) > _MOST_RIGHT:
            self._right.popitem(last=False)
        return True

    def known(self, name: bytes) -> User | None:
        return self._users.get(name)

    def decoy(self, name: bytes) -> User:
        """A user whose password does not exist; for the same name the same kind."""
        number = hashlib.sha256(self._seed + name).digest()[0]
        return self._decoys[number % len(self._decoys)]


class Step(Enum):
    """What becomes of a login."""

    IN = 0
    ASKED = 1
    REFUSED = 2
    LOOKED_UP = 3


class Entrance:
    """
    One client's logins. challenge: what its greeting, or the last question, had. secret: what the login has shown once
    it is in; reason: why it is refused, where it is not the proof.
    """

    def __init__(self, accounts: Accounts, first: bytes) -> None:
        self._accounts = accounts
        self._first = first
        self.challenge = new_challenge()
        self.user = b""
        self.secret = NO_SECRET
        self.reason = ""
        self._account: User | None = None  # as whom it logs in, also if there is none such
        self._known = False
        self._secure = False
        self._asked = b""  # the kind of proof that a question asked for
        self._says_it = False  # the password itself is to come

    def is_same_user(self, other: Entrance) -> bool:
        """Whether both are one user. The name is not enough, as each listener has users of its own."""
        return self._known and other._known and self._account == other._account

    def begin(self, user: bytes, plugin: bytes, answer: bytes, secure: bool) -> tuple[Step, bytes]:
        """
        A login, and what to say if it goes on. plugin: by which the client has answered, b"" if it did not say. secure:
        whether no third party can read what the client says. LOOKED_UP: `found` has to follow.
        """
        self.user, self._secure = user, secure
        known = self._accounts.known(user)
        if known is None and self._accounts.asks:
            return Step.LOOKED_UP, b""
        self._be(known)
        plugin = plugin or NATIVE
        if len(answer) == SIZES.get(plugin) and self._takes(plugin):
            return self._check(plugin, answer)
        return self._ask(plugin)

    def found(self, user: User | None) -> bytes:
        """The question to one that a server knows as that, or does not know."""
        if user is not None:
            self._accounts.note(user)
        self._be(user)
        return self._ask(self._first)[1]

    def answer(self, answer: bytes) -> tuple[Step, bytes]:
        """The answer to a question."""
        if self._says_it:
            self._says_it = False
            said = answer.removesuffix(b"\0")
            right = self._account is not None and self._accounts.is_password(self._account, said)
            return self._enter(Secret(said) if right else NO_SECRET, b"")
        plugin, self._asked = self._asked, b""
        if len(answer) != SIZES[plugin]:
            return Step.REFUSED, b""
        return self._check(plugin, answer)

    def _be(self, user: User | None) -> None:
        self._known = user is not None
        self._account = user or self._accounts.decoy(self.user)

    def _takes(self, plugin: bytes) -> bool:
        account = self._account
        return account is not None and (plugin in account.proofs or (plugin == SHA2 and account.crypt is not None))

    def _ask(self, plugin: bytes) -> tuple[Step, bytes]:
        """What the client can't have answered yet: it has another plugin, or none, or its user was not known."""
        other = NATIVE if self._first == SHA2 else SHA2
        self._asked = plugin if plugin in SIZES and plugin != self._first else other
        if not self._takes(self._asked):
            self._asked = NATIVE if self._asked == SHA2 else SHA2
        self.challenge = new_challenge()
        return Step.ASKED, Switch(self._asked, self.challenge).write()

    def _check(self, plugin: bytes, answer: bytes) -> tuple[Step, bytes]:
        account = self._account
        assert account is not None  # set by begin and found
        if account.password:
            right = proves(plugin, account.password, self.challenge, answer)
            return self._enter(Secret(account.password) if right else NO_SECRET, b"\1\3" if plugin == SHA2 else b"")
        if account.twice:
            return self._enter(Secret(once=shown_by(answer, account.twice, self.challenge)), b"")
        if not self._secure:
            self.reason = "what is kept of its password wants the password itself, which is only taken over TLS here"
            return Step.REFUSED, b""
        self._says_it = True
        return Step.ASKED, _SAY_IT

    def _enter(self, secret: Secret, last: bytes) -> tuple[Step, bytes]:
        if not self._known or not any(secret):
            return Step.REFUSED, b""
        self.secret = secret
        return Step.IN, last
