"""Databases through metaproxy, beside PgBouncer, haproxy and none: `python -m bench.databases`."""
