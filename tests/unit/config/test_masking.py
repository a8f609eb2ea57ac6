"""A configuration as data: every secret in it is masked."""

from __future__ import annotations

import json
from pathlib import Path

from metaproxy.codecs.redis import Redis
from metaproxy.config.masking import as_data
from metaproxy.config.model import AccessLog, Admin, Cluster, Config, Endpoint, Listener, SecretSource, Tokens
from metaproxy.config.schema.reading import Use
from metaproxy.filters.jwt.filter import Jwt
from metaproxy.options import hide
from metaproxy.units import Secret


def test_a_configuration_is_shown_as_json_with_secrets_masked() -> None:
    config = Config(
        secrets={"s": SecretSource(value=Secret("hunter2"))},
        admin=Admin(tokens=Tokens(write=Secret("hunter2"))),
        clusters=(
            Cluster(name="a", endpoints=(Endpoint(address="a:1"),), credentials={"password": Secret("hunter2")}),
        ),
        listeners=(
            Listener(
                name="in",
                listen=("a:1",),
                protocol=Use("redis", {"auth": [Secret("hunter2")]}),
                access_log=(AccessLog(file=Path("/dev/stdout")),),
            ),
        ),
    )
    text = json.dumps(as_data(config))
    assert "hunter2" not in text and "hunter2" not in repr(config)
    shown = json.loads(text)
    assert shown["secrets"] == {"s": {"value": "****"}}
    assert shown["listeners"][0]["protocol"] == {"name": "redis", "options": {"auth": ["****"]}}
    assert shown["listeners"][0]["access_log"] == [{"file": "/dev/stdout", "format": "text"}]
    assert "source" not in shown and "warnings" not in shown


def test_options_that_hold_secrets_are_masked_also_where_they_are_written_out() -> None:
    options = {
        "auth": {"password": "hunter2", "users": {"ann": "hunter3"}},
        "users": [{"name": "ann", "password": "hunter4", "passwords": ["hunter5"], "nopass": True, "rules": "+get"}],
    }
    shown = json.loads(json.dumps(as_data(Use("redis", hide(Redis, options)))))
    assert "hunter" not in str(shown)
    assert shown["options"]["users"][0] == {
        "name": "ann", "password": "****", "passwords": ["****"], "nopass": True, "rules": "+get",
    }  # fmt: skip
    shown = as_data(hide(Jwt, {"providers": {"main": {"shared_secret": "hunter6", "issuer": "me"}}}))
    assert shown == {"providers": {"main": {"shared_secret": "****", "issuer": "me"}}}
