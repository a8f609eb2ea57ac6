"""
The rule on the admin API: an address that others can reach has a guard.

Lives here: `RULES`. Does not: the guard itself (`admin.guard`).
"""

from __future__ import annotations

from functools import partial

from metaproxy.config import model
from metaproxy.config.rules.addresses import is_local
from metaproxy.config.rules.certificates import reports
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.config.tls import admin_options

RULES = Rules()


@RULES.of(model.Admin)
def _admin_is_guarded(admin: model.Admin, reading: Reading) -> None:
    tokens, tls = admin.tokens, admin.tls
    if tls is not None:
        reports(reading, tls, partial(admin_options, tls))
        if admin.listen.startswith("unix:"):
            reading.problem(reading.at(admin, "tls"), "not over a Unix socket: only its user can reach it")
    if tokens is not None and tokens.read is None and tokens.write is None:
        reading.problem(reading.at(admin, "tokens"), "no token; write read: or write:, or both")
    if tokens is None and not reading.gives(admin, "tokens") and not admin.insecure and not is_local(admin.listen):
        if reading.gives(admin, "tls"):
            if tls is not None and tls.client_ca is None:
                text = f"everyone who reaches {admin.listen} may ask everything: give tokens:, or tls.client_ca"
                reading.warn(reading.at(admin, "tls"), text)
            return
        text = f"others can reach {admin.listen}; give tokens: or tls:, or say insecure: true"
        reading.problem(reading.at(admin, "listen"), text)
