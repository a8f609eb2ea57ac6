"""MySQL and MariaDB: `codec` what the proxy asks, `client` and `server` what their connections remember."""

from metaproxy.codecs.mysql.codec import MySQL

__all__ = ["MySQL"]
