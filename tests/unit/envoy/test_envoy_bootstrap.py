"""An Envoy bootstrap is a configuration of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from authority import Authority
from envoy_files import BOOTSTRAP

from metaproxy.config.check import check
from metaproxy.config.schema.load import Loaded
from metaproxy.envoy.bootstrap import load_bootstrap, translate_bootstrap
from metaproxy.envoy.conversion import convert
from metaproxy.envoy.message_types import message_class, url
from metaproxy.envoy.reading import read_message
from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Plain
from metaproxy.plugins import Registry

ONLY = "static_resources: {}\n"


def whole(text: str, lenient: bool = False) -> tuple[Plain, list[str], list[str]]:
    """Plain data, errors, warnings."""
    report = Report(lenient)
    kind = message_class("envoy.config.bootstrap.v3.Bootstrap")
    assert kind is not None
    message, _, problems = read_message(text, "e.yaml", kind(), report)
    assert message is not None and problems == []
    plain = translate_bootstrap(message, report).plain
    return plain, [str(one) for one in report.errors], [str(one) for one in report.warnings]


def loaded(text: str, lenient: bool = False) -> Loaded:
    found = load_bootstrap(text, "e.yaml", lenient)
    assert found is not None
    return found


def test_a_bootstrap_is_node_admin_listeners_clusters_and_runtime_values() -> None:
    plain, wrong, odd = whole(BOOTSTRAP)
    assert wrong == odd == []
    assert plain == {
        "node": {
            "id": "one",
            "cluster": "shop",
            "zone": "zone-a",
            "metadata": {"NAME": "cart", "COUNT": "3", "LABELS": {"app": "cart"}},
        },
        "admin": {"listen": "127.0.0.1:0"},
        "runtime": {"mirror.demo": 5},
        "listeners": [
            {
                "name": "dubbo",
                "listen": ["127.0.0.1:0"],
                "protocol": "dubbo",
                "idle_timeout": "0s",
                "routes": [
                    {
                        "name": "all",
                        "cluster": "demo",
                        "mirror": [{"cluster": "demo", "percent": {"runtime": "mirror.demo"}}],
                    }
                ],
            }
        ],
        "clusters": [
            {
                "name": "demo",
                "endpoints": [{"address": "127.0.0.1:1"}],
                "balancer": "round_robin",
                "connect_timeout": "5s",
            }
        ],
    }


def checked(text: str, lenient: bool = False) -> tuple[object, list[str]]:
    def load(text: str | bytes, filename: str, environ: object, runtime: object) -> Loaded:
        return loaded(text if isinstance(text, str) else text.decode(), lenient)

    config, problems = check(text, "e.yaml", Registry(), loader=load)
    return config, [str(one) for one in problems]


def test_a_bootstrap_passes_the_checks_that_a_file_of_ours_gets() -> None:
    config, problems = checked(BOOTSTRAP)
    assert problems == []
    assert config is not None


def test_what_those_checks_find_is_told_where_it_stands_in_the_bootstrap() -> None:
    _, problems = checked(
        BOOTSTRAP.replace("cluster: demo\n                request", "cluster: dmeo\n                request")
    )
    assert len(problems) == 1
    assert problems[0].startswith(
        "e.yaml:16:15: static_resources.listeners[0].filter_chains[0].filters[0]."
        "typed_config.route_config.routes[0]: cluster: no cluster 'dmeo'"
    )


def test_what_can_not_be_honoured_is_told_all_at_once_with_lines() -> None:
    text = BOOTSTRAP.replace(
        "    type: STATIC\n", "    type: STATIC\n    transport_sockt: {}\n    lrs_server: {self: {}}\n"
    )
    found = loaded(text + "stats_sinks: [{name: x}]\n")
    assert found.root is None
    assert [(one.line, one.path) for one in found.problems] == [
        (25, "static_resources.clusters[0].transport_sockt"),
        (26, "static_resources.clusters[0].lrs_server"),
        (32, "stats_sinks"),
    ]
    assert "'transport_socket'" in found.problems[0].text


def test_lenient_loads_it_with_as_many_warnings() -> None:
    found = loaded(BOOTSTRAP + "stats_sinks: [{name: x}]\nheader_prefix: x\n", lenient=True)
    assert found.root is not None
    assert [one.path for one in found.warnings] == ["stats_sinks", "header_prefix"]


def test_what_is_malformed_is_refused_also_when_lenient() -> None:
    found = loaded(BOOTSTRAP.replace("port_value: 1}", "port_value: 99999}"), lenient=True)
    assert found.root is None
    assert len(found.problems) == 1


def test_a_text_in_our_own_form_is_none() -> None:
    assert load_bootstrap("listeners: []\n# static_resources", "e.yaml", False) is None


def test_values_that_were_changed_live_count() -> None:
    found = load_bootstrap(BOOTSTRAP, "e.yaml", False, {"mirror.demo": 70})
    assert found is not None
    config, problems = check(BOOTSTRAP, "e.yaml", Registry(), loader=lambda *_: found)
    assert problems == []
    assert config is not None
    assert config.listeners[0].routes[0].mirror[0].percent == 70.0
    assert config.runtime == {"mirror.demo": 70}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "[{name: a, static_layer: {x: 1, y: {z: true, w: {numerator: 5, denominator: MILLION}}}}]",
            {"x": 1, "y.z": True, "y.w": 0.0005},
        ),
        ("[{name: a, static_layer: {x: 1}}, {name: b, static_layer: {x: 2}}, {name: c, admin_layer: {}}]", {"x": 2}),
    ],
)
def test_static_layers_are_runtime_values_the_last_of_which_counts(text: str, values: object) -> None:
    plain, wrong, _ = whole(f"{ONLY}layered_runtime: {{layers: {text}}}")
    assert wrong == []
    assert plain["runtime"] == values


def test_a_runtime_value_goes_before_the_default_of_a_message() -> None:
    plain, wrong, _ = whole(BOOTSTRAP + "layered_runtime: {layers: [{name: a, static_layer: {mirror.demo: 40}}]}")
    assert wrong == []
    assert plain["runtime"] == {"mirror.demo": 40}


def test_switches_of_envoys_own_are_warned_of() -> None:
    plain, wrong, odd = whole(f"{ONLY}layered_runtime: {{layers: [{{name: a, static_layer: {{envoy.x: true}}}}]}}")
    assert wrong == []
    assert "runtime" not in plain
    assert len([one for one in odd if "envoy.x" in one]) == 1


@pytest.mark.parametrize("layer", ["disk_layer: {symlink_root: /x}", "rtds_layer: {name: x, rtds_config: {ads: {}}}"])
def test_layers_that_change_by_themselves_are_named(layer: str) -> None:
    _, wrong, _ = whole(f"{ONLY}layered_runtime: {{layers: [{{name: a, {layer}}}]}}")
    assert len(wrong) == 1


def test_an_admin_address_that_others_reach_stays_open_with_a_warning() -> None:
    plain, wrong, odd = whole(f"{ONLY}admin: {{address: {{socket_address: {{address: 0.0.0.0, port_value: 15000}}}}}}")
    assert wrong == []
    assert plain["admin"] == {"listen": "0.0.0.0:15000", "insecure": True}
    assert len(odd) == 1


def test_without_an_admin_address_a_free_one_is_taken() -> None:
    assert whole(ONLY)[0]["admin"] == {"listen": "127.0.0.1:0"}


GRPC = "api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: istiod}}]"
OTHERS = ["routes", "endpoints", "secrets", "extensions"]


def test_the_aggregated_stream_is_a_server_for_what_comes_by_it() -> None:
    plain, wrong, _ = whole(f"""
dynamic_resources:
  lds_config: {{ads: {{}}, initial_fetch_timeout: 0s}}
  cds_config: {{ads: {{}}}}
  ads_config: {{{GRPC}}}
""")
    assert wrong == []
    assert plain["xds"] == [
        {
            "name": "istiod",
            "cluster": "istiod",
            "transport": "grpc",
            "ads": True,
            "resources": ["listeners", "clusters", *OTHERS],
            "initial_fetch_timeout": "0s",
        }
    ]


def test_each_other_source_is_a_server_of_its_own() -> None:
    plain, wrong, _ = whole(f"""
dynamic_resources:
  lds_config: {{path_config_source: {{path: /lds.yaml}}}}
  cds_config: {{api_config_source: {{{GRPC}}}}}
""")
    assert wrong == []
    assert plain["xds"] == [
        {"name": "/lds.yaml", "server": "/lds.yaml", "transport": "file", "ads": False, "resources": ["listeners"]},
        {"name": "istiod", "cluster": "istiod", "transport": "grpc", "ads": False, "resources": ["clusters"]},
    ]


def test_ads_without_a_server_is_malformed() -> None:
    _, wrong, _ = whole("dynamic_resources: {lds_config: {ads: {}}}")
    assert len(wrong) == 1


def test_every_other_field_is_named() -> None:
    for text in (
        "overload_manager: {resource_monitors: []}",
        "stats_config: {use_all_default_tags: false}",
        "bootstrap_extensions: [{name: x}]",
        "admin: {profile_path: /x, address: {pipe: {path: /run/x}}}",
        "node: {id: a, dynamic_parameters: {x: {params: {a: b}}}}",
        "cluster_manager: {outlier_detection: {event_log_path: /x}}",
    ):
        assert len(whole(ONLY + text)[1]) == 1, text


def test_a_cluster_that_only_a_tracer_names_is_in_use() -> None:
    collector = """\
  - name: zipkin
    type: STATIC
    load_assignment:
      endpoints:
      - lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}}]
"""
    tracing = """\
tracing: {http: {name: envoy.tracers.zipkin, typed_config: {
  "@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: zipkin,
  collector_endpoint: /spans, collector_endpoint_version: HTTP_JSON}}}
"""

    def warned(text: str) -> int:
        config, problems = check(text, "e.yaml", Registry(), loader=lambda *_: loaded(text))
        assert problems == []
        assert config is not None
        return len(config.warnings)

    assert warned(BOOTSTRAP + collector) == 1
    assert warned(BOOTSTRAP + collector + tracing) == 0


@pytest.mark.parametrize("lenient", [False, True])
def test_a_tracer_that_can_not_be_read_is_told_with_all_else_that_is_wrong(lenient: bool) -> None:
    tracing = """\
tracing: {http: {name: envoy.tracers.zipkin, typed_config: {
  "@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: [zipkin, 1]}}}
flags_path: /x
"""
    plain, errors, warnings = whole(ONLY + tracing, lenient)
    found = errors if not lenient else [*errors, *warnings]
    assert any("collector_cluster" in one for one in found) and any("flags_path" in one for one in found)
    assert "tracing" not in plain


def test_clusters_that_a_server_is_to_send_are_there_by_their_names() -> None:
    static, _, rest = BOOTSTRAP.partition("  clusters:\n")
    dynamic = "dynamic_resources: {cds_config: {path_config_source: {path: /cds.yaml}}}\n"
    plain, wrong, _ = whole(static + dynamic)
    assert wrong == []
    assert plain["clusters"] == [{"name": "demo", "endpoints": []}]
    assert checked(static + dynamic)[1] == []
    assert checked(static)[1] != [], "nobody sends it"
    assert rest


def test_certificates_may_stand_in_a_bootstrap_and_only_a_file_of_ours_must_name_files(tmp_path: Path) -> None:
    ca = Authority(tmp_path).ca.read_text()
    context = json.dumps({"common_tls_context": {"validation_context": {"trusted_ca": {"inline_string": ca}}}})
    packed = f'{{"@type": {url("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext")}, {context[1:]}'
    socket = f"    transport_socket: {{name: t, typed_config: {packed}}}\n"
    text = BOOTSTRAP.replace("    type: STATIC\n", f"    type: STATIC\n{socket}")
    config, problems = check(text, "e.yaml", Registry(), loader=lambda *_: loaded(text))
    assert problems == []
    assert config is not None and config.clusters[0].tls is not None and config.clusters[0].tls.ca is not None
    assert config.clusters[0].tls.ca.read_text() == ca
    converted = convert(text, "e.yaml")
    assert converted.text is None
    assert "inline_string" in {one.path.rpartition(".")[2] for one in converted.problems}
