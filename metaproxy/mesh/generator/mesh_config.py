"""
Istio's mesh configuration, as far as Aeraki reads it: access logs and tracing of metaprotocol.

Lives here: `log_and_tracing`. Does not: the ConfigMap that holds it (`objects.kubernetes`).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from metaproxy.config.schema.load import load_documents
from metaproxy.config.schema.reading import BROKEN, Reading
from metaproxy.config.schema.registry import NoPlugins
from metaproxy.mesh.generator.index import View
from metaproxy.mesh.generator.messages import Json, packed
from metaproxy.mesh.objects.kubernetes import ConfigMap, MeshConfig
from metaproxy.mesh.objects.struct import Struct
from metaproxy.mesh.objects.unread_policy import ROOT_NAMESPACE

NAME, KEY = "istio", "mesh"
"""The ConfigMap of the root namespace, and its key."""
_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_FIELDS = {
    "start_time": "%START_TIME%",
    "route_name": "%ROUTE_NAME%",
    "application_protocol": "%REQ(X-META-PROTOCOL-APPLICATION-PROTOCOL)%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "upstream_cluster": "%UPSTREAM_CLUSTER%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
"""What a line shows where nothing else is asked for: what Aeraki shows, but for what the proxy does not know."""
_LINE = " ".join(_FIELDS.values()) + "\n"


def log_and_tracing(view: View) -> Json:
    """Return the keys of MetaProtocolProxy that the mesh configuration gives."""
    found = view.find(ConfigMap, "ConfigMap", NAME, ROOT_NAMESPACE)
    if not found:
        return {}
    object, spec = found[0]
    config = _read(spec.data.get(KEY, ""))
    if isinstance(config, str):
        view.note(object, config)
        return {}
    keys: Json = {}
    if config.access_log_file:
        keys["accessLog"] = [_access_log(config)]
    if config.enable_tracing:
        sampling = config.default_config.tracing.sampling
        keys["tracing"] = {
            "clientSampling": {"value": 100},
            "randomSampling": {"value": sampling},
            "overallSampling": {"value": 100},
        }
    return keys


@lru_cache(maxsize=4)
def _read(text: str) -> MeshConfig | str:
    """Return the configuration in a text, or what is wrong with it."""
    roots, problems = load_documents(text, KEY)
    if problems or len(roots) > 1:
        return str(problems[0]) if problems else f"{KEY}: more than one document"
    if not roots:
        return MeshConfig()
    reading = Reading(KEY, Path(), NoPlugins(), {}, {}, {})
    config = reading.read(Struct(MeshConfig), roots[0])
    return str(reading.problems[0]) if config is BROKEN else config


def _access_log(config: MeshConfig) -> Json:
    written = config.access_log_format
    if config.access_log_encoding == "JSON":
        given = _json(written) if written else None
        form: Json = {"jsonFormat": given or _FIELDS}
    else:
        form = {"textFormatSource": {"inlineString": written or _LINE}}
    log = packed(_FILE, {"path": config.access_log_file, "logFormat": form})
    return {"name": "envoy.access_loggers.file", "typedConfig": log}


def _json(written: str) -> Json | None:
    """Return a format that is written as JSON; None where it is none, for which the usual one stands."""
    try:
        found = json.loads(written)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
