"""PostgreSQL's protocol 3. `codec` for all of it, `client` and `server` for a connection's two ends."""

from metaproxy.codecs.postgres.codec import Postgres

__all__ = ["Postgres"]
