"""Envoy bootstraps in tests."""

from __future__ import annotations

BOOTSTRAP = """\
node: {id: one, cluster: shop, locality: {zone: zone-a}, metadata: {NAME: cart, COUNT: 3, LABELS: {app: cart}}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: dubbo
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: aeraki.meta_protocol_proxy
        typed_config:
          "@type": type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy
          stat_prefix: x
          protocol: {name: dubbo, codec: {name: aeraki.meta_protocol.codec.dubbo}}
          route_config:
            routes:
            - name: all
              route:
                cluster: demo
                request_mirror_policies:
                - cluster: demo
                  runtime_fraction: {default_value: {numerator: 5}, runtime_key: mirror.demo}
  clusters:
  - name: demo
    type: STATIC
    load_assignment:
      cluster_name: demo
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}
"""
"""A Dubbo listener before one server, with a runtime key and nothing that could be wrong."""
