"""The bench: metaproxy and other proxies under the same load, in one run and one table.  See README.md."""
