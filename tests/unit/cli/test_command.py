from __future__ import annotations

from metaproxy.cli.main import COMMANDS, parser


def test_each_command_is_a_module_whose_parser_says_what_runs() -> None:
    words = [module.__name__.rpartition(".")[2] for module in COMMANDS]
    assert words == [
        "check", "convert", "status", "top", "tap", "drain", "upgrade", "config", "workers", "xds", "crds", "record",
        "replay",
        "fleet", "rollouts",
    ]  # fmt: skip
    assert parser().parse_args(["check", "file"]).run.__module__ == "metaproxy.cli.check"
