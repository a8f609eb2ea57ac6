"""
A MySQL server (mysql-mimic) that knows query attributes: each statement gives one row, its SQL and its attributes as
JSON. attributes.py PORT; prints ready. The user app has the password `secret`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mysql_mimic import IdentityProvider, MysqlServer, NativePasswordAuthPlugin, Session, User


class Attributes(Session):
    async def handle_query(self, sql: str, attrs: dict[str, str]) -> Any:
        if not sql.lower().startswith("select"):
            return await super().handle_query(sql, attrs)
        return [(sql, json.dumps(attrs, sort_keys=True))], ["said", "attributes"]


class Accounts(IdentityProvider):
    def get_plugins(self) -> list[Any]:
        return [NativePasswordAuthPlugin()]

    async def get_user(self, username: str) -> Any:
        kept = NativePasswordAuthPlugin.create_auth_string("secret")
        return User(name=username, auth_string=kept, auth_plugin=NativePasswordAuthPlugin.name)


async def main() -> None:
    server = MysqlServer(session_factory=Attributes, identity_provider=Accounts())
    await server.start_server(host="127.0.0.1", port=int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
