import pytest
from test_log_format import FakeExchange, line

from metaproxy.message import ErrorKind
from metaproxy.telemetry.operators import FLAGS, OPERATORS


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_can_be_used_and_shows_something(name, monkeypatch):
    monkeypatch.setenv("key", "value")
    argument = "(key)" if OPERATORS[name].argument == "KEY" else ""
    assert line(f"%{name}{argument}%", FakeExchange({"key": "value", "operation": "a/b"})).strip()


def test_environment_and_host_are_those_of_the_start(monkeypatch):
    monkeypatch.setenv("POD", "a\nb")
    assert line("%ENVIRONMENT(POD)% %ENVIRONMENT(NONE_SUCH)%") == "a\\nb -\n"
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert line("%HOSTNAME%") == "here\n"


def test_flags_are_of_outcomes_that_there_are():
    assert set(FLAGS) <= {kind.value for kind in ErrorKind} | {"downstream_gone"}
