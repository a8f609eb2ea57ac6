"""Redis: routes by key, logins, clusters that hash by key."""

from __future__ import annotations

from typing import Any

import pytest
from mesh_stand import Stand, plain, unpacked

LISTENER = "127.0.10.3_6379"
CACHE = "outbound|6379||cache.demo"


def entry(host: str, address: str, port: int = 6379, name: str = "tcp-redis") -> str:
    return (
        f"{{hosts: [{host}], addresses: [{address}], ports: [{{number: {port}, name: {name}}}], "
        "endpoints: [{address: 127.0.0.11}, {address: 127.0.0.12}]}"
    )


def stand(service: str = "", destination: str = "") -> Stand:
    made = Stand().put("ServiceEntry", "cache", entry("cache.demo", "127.0.10.3"))
    made.put("ServiceEntry", "users", entry("users.demo", "127.0.10.4", 6380))
    if service:
        made.put("RedisService", "cache", f"{{host: [cache.demo], {service}}}")
    if destination:
        made.put("RedisDestination", "cache", f"{{host: cache.demo, trafficPolicy: {{{destination}}}}}")
    return made


def found(made: Stand) -> dict[str, Any]:
    return made.filter(LISTENER)


def test_without_a_redis_service_all_goes_to_the_host_within_a_minute() -> None:
    assert found(stand()) == {
        "stat_prefix": CACHE,
        "settings": {"op_timeout": "60s"},
        "prefix_routes": {"catch_all_route": {"cluster": CACHE}},
    }


def test_a_service_without_routes_has_its_settings_alone() -> None:
    made = found(stand("settings: {opTimeout: 5s, enableHashtagging: true}"))
    assert made["settings"] == {"op_timeout": "5s", "enable_hashtagging": True}
    assert made["prefix_routes"] == {"catch_all_route": {"cluster": CACHE}}


def test_a_redis_cluster_is_read_from_as_the_service_says_and_copies_may_be_of_writes_alone() -> None:
    mirror = "mirror: [{route: {host: users.demo}, excludeReadCommands: true}]"
    routes = f"redis: [{{route: {{host: cache.demo}}, {mirror}}}]"
    made = found(stand(f"settings: {{readPolicy: PREFER_REPLICA, enableRedirection: true}}, {routes}"))
    assert made["settings"] == {"op_timeout": "60s", "enable_redirection": True, "read_policy": "PREFER_REPLICA"}
    (copies,) = made["prefix_routes"]["catch_all_route"]["request_mirror_policy"]
    assert copies["exclude_read_commands"] is True


def test_keys_are_routed_by_prefix_and_mirrors_have_their_own_port() -> None:
    made = found(
        stand(
            "redis: [{match: {key: {prefix: 'u:', removePrefix: true}}, route: {host: users.demo}}, "
            "{route: {host: cache.demo}, mirror: [{route: {host: users.demo, port: 7}, percentage: {value: 5}}]}]"
        )
    )
    routes = made["prefix_routes"]
    assert routes["routes"] == [{"prefix": "u:", "remove_prefix": True, "cluster": "outbound|6380||users.demo"}]
    (mirror,) = routes["catch_all_route"]["request_mirror_policy"]
    assert mirror["cluster"] == "outbound|7||users.demo"
    assert mirror["runtime_fraction"]["default_value"] == {"numerator": 50000, "denominator": "MILLION"}


def test_faults_are_for_commands_and_for_all_where_there_is_no_share() -> None:
    made = found(stand("faults: [{type: ERROR, commands: [GET]}, {type: DELAY, delay: 1s, percentage: {value: 50}}]"))
    error, delay = made["faults"]
    assert (error["fault_type"], error["commands"]) == ("ERROR", ["GET"])
    assert error["fault_enabled"]["default_value"]["numerator"] == 1000000
    assert (delay["delay"], delay["fault_enabled"]["default_value"]["numerator"]) == ("1s", 500000)


def test_a_host_that_is_not_there_is_noted() -> None:
    made = stand("redis: [{route: {host: not.there}}]")
    assert made.resources
    assert made.notes("RedisService", "cache") == ["redis[0].route: no ServiceEntry or Service has the host not.there"]


# -- logins


def test_clients_log_in_with_what_a_secret_says() -> None:
    made = stand("settings: {auth: {secret: {name: login, usernameField: who}}}")
    made.put("Secret", "login", "{data: {password: aHVudGVyMgo=, who: YXBw}}", "")
    assert found(made)["downstream_auth_passwords"] == [{"inline_string": "hunter2"}]
    assert found(made)["downstream_auth_username"] == {"inline_string": "app"}


def test_a_secret_has_its_password_as_password_or_token_and_its_user_as_username() -> None:
    made = stand("settings: {auth: {secret: {name: login}}}")
    made.put("Secret", "login", "{stringData: {token: t1, username: u1}}", "")
    assert found(made)["downstream_auth_passwords"] == [{"inline_string": "t1"}]
    assert found(made)["downstream_auth_username"] == {"inline_string": "u1"}
    made.put("Secret", "login", "{stringData: {token: t1, password: p1}}", "")
    assert found(made)["downstream_auth_passwords"] == [{"inline_string": "p1"}]


def test_while_the_login_can_not_be_read_nobody_comes_in() -> None:
    made = stand("settings: {auth: {secret: {name: login, passwordField: word}}}")
    assert LISTENER not in made.resources.listeners
    assert made.notes("RedisService", "cache") == ["there is no Secret demo/login; without it nobody can log in"]
    made.put("Secret", "login", "{data: {word: '%%%'}}", "")
    assert made.notes("RedisService", "cache") == ["the Secret demo/login has no word; nobody can log in"]
    assert LISTENER not in made.resources.listeners
    made.put("Secret", "login", "{data: {word: aHVudGVyMg==}}", "")
    assert LISTENER in made.resources.listeners


def test_a_plain_login_is_taken_as_it_is() -> None:
    made = found(stand("settings: {auth: {plain: {username: app, password: hunter2}}}"))
    assert made["downstream_auth_passwords"] == [{"inline_string": "hunter2"}]
    assert made["downstream_auth_username"] == {"inline_string": "app"}


# -- servers


def test_servers_share_keys_by_their_hash() -> None:
    assert stand().one("clusters", CACHE)["lb_policy"] == "MAGLEV"


def test_the_proxy_logs_in_at_servers_and_keeps_to_limits() -> None:
    made = stand(
        destination="connectionPool: {redis: {auth: {plain: {password: hunter2}}}, tcp: {maxConnections: 3, "
        "connectTimeout: 2s, tcpKeepalive: {}}}"
    )
    cluster = made.one("clusters", CACHE)
    assert cluster["connect_timeout"] == "2s"
    assert "'max_connections': 3" in str(cluster["circuit_breakers"])
    options = getattr(made.resources.clusters[CACHE], "typed_extension_protocol_options")  # noqa: B009
    assert plain(unpacked(options["envoy.filters.network.redis_proxy"])) == {
        "auth_password": {"inline_string": "hunter2"}
    }


@pytest.mark.parametrize(
    ("more", "addresses"),
    [
        ("", ["127.0.0.11:6379", "127.0.0.12:6379"]),
        (", discoveryEndpoints: [seed.demo, '10.0.0.1:7000']", ["seed.demo:6379", "10.0.0.1:7000"]),
    ],
)
def test_a_redis_cluster_is_asked_for_its_nodes(more: str, addresses: list[str]) -> None:
    made = stand(destination=f"connectionPool: {{redis: {{mode: CLUSTER{more}}}}}")
    cluster: dict[str, Any] = made.one("clusters", CACHE)
    assert cluster["cluster_type"]["name"] == "envoy.clusters.redis"
    assert cluster["lb_policy"] == "CLUSTER_PROVIDED"
    endpoints = cluster["load_assignment"]["endpoints"]
    places = [each["endpoint"]["address"]["socket_address"] for one in endpoints for each in one["lb_endpoints"]]
    assert [f"{place['address']}:{place['port_value']}" for place in places] == addresses
    assert CACHE not in made.resources.endpoints


def test_a_destination_of_another_namespace_counts_for_nothing() -> None:
    made = stand().put("RedisDestination", "cache", "{host: cache.demo}", namespace="other")
    assert "typed_extension_protocol_options" not in made.one("clusters", CACHE)
