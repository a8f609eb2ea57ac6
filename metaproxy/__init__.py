"""
metaproxy: a pluggable layer-7 proxy for any protocol.

Public, stable for plugins: `interfaces`, `message`, `plugins`, `testing`, `units` and `codecs.framing`. All other
modules are internal: docs/explanation/where-things-live.md is their map.

Lives here: `__version__`, its only source: the package's metadata, `--version` and the build information read it.
"""

from metaproxy.support import compiled

__version__ = "0.1.0"

compiled.use_pure()
