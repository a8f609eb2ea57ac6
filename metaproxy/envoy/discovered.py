"""
Filters whose configuration a server sends: `config_discovery`, ECDS.

Lives here: `extension_of`. Does not: what the filters mean (`tables`), asking for what is needed (`xds`).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Extension, Fields
from metaproxy.envoy.message_types import full_name
from metaproxy.envoy.sources import server_of
from metaproxy.envoy.tables import Context


def extension_of(filter_: Fields, context: Context) -> Extension:
    """
    What a filter is configured with: the message packed in it, or one that a server sends under the filter's name.
    Until that is there its `default_config` counts. Raises Unusable when there is none; the listener waits for it.
    """
    discovery = filter_.message_at("config_discovery")
    if discovery is None:
        return filter_.extension()
    name = filter_.text("name")
    if context.live:
        context.report.unusable(discovery.path, "is for listeners that a control plane sends; write typed_config here")
    at_once = discovery.flag("apply_default_config_without_warming")
    source = discovery.message_at("config_source")
    if source is None:
        discovery.require("config_source")
    else:
        server = server_of(source, "extensions", context)
        if server is not None:
            context.need("extensions", name, server, waits=not at_once)
    types = [full_name(one) for one in discovery.texts("type_urls")]
    default = discovery.extension("default_config", None)
    message = context.resources.extensions.get(name)
    if message is None:
        if not default.type:
            context.report.unusable(discovery.path, f"the extension {name!r} is not there (yet)")
        return default._replace(name=name)
    if default.config is not None:
        default.config.give_up()
    found = discovery.beside(message, f"extension {name!r}").extension()
    if types and found.type not in types:
        context.report.invalid(found.path, f"is a {found.type or 'message of no type'}, not {' or '.join(types)}")
    return found
