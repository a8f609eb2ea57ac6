"""Secrets: where they are read from, and that nothing shows them."""

from __future__ import annotations

import os
from pathlib import Path

from checked import accepted, mesh, refused

from metaproxy.config.rules.secrets import MAX_SECRET

SECRET = "\nsecrets: {pw: {%s}}"


def password(source: str, folder: Path = Path("/etc"), **environ: str) -> str:
    config = accepted(mesh(cluster=", credentials: {password: {secret: pw}}") + SECRET % source, folder, **environ)
    return config.clusters[0].credentials["password"]


def test_a_secret_comes_from_a_file_a_variable_or_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2\n")
    assert password("file: pw", tmp_path) == "hunter2"
    assert password(f"file: {tmp_path}/pw") == "hunter2"
    assert password("env: PW", PW="hunter2") == "hunter2"
    assert password("value: hunter2") == "hunter2"


def test_only_a_line_break_at_the_end_is_not_part_of_a_secret(tmp_path: Path) -> None:
    for content, text in {"a\n": "a", "a\r\n": "a", "a\n\n": "a\n", " a ": " a ", "": ""}.items():
        (tmp_path / "pw").write_bytes(content.encode())
        assert password("file: pw", tmp_path) == text


def test_a_secret_that_cannot_be_read_is_told_once_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET + 1))
    (tmp_path / "bytes").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "pipe")
    users = ", credentials: {password: {secret: pw}}, protocol: {name: dubbo, password: {secret: pw}}"
    for source, text in {
        "file: none": f"secrets.pw.file: {tmp_path}/none: no such file",
        "file: large": f"secrets.pw.file: {tmp_path}/large: more than 65536 bytes",
        "file: bytes": f"secrets.pw.file: {tmp_path}/bytes: not a text in UTF-8",
        "file: pipe": f"secrets.pw.file: {tmp_path}/pipe: not a file",
        "file: .": f"secrets.pw.file: {tmp_path}: not a file",
        "env: NONE": "secrets.pw.env: no environment variable NONE",
    }.items():
        (problem,) = refused(mesh(cluster=users) + SECRET % source, tmp_path)
        assert problem.partition(" ")[2] == text
    assert [one.partition(": ")[2] for one in refused(mesh(cluster=users) + SECRET % "value: a, env: B")] == [
        "secrets.pw.env: value and env exclude each other; write one of them"
    ]


def test_a_secret_of_no_name_is_told_with_the_nearest() -> None:
    text = mesh(cluster=", credentials: {password: {secret: redis-pasword}}") + "secrets: {redis-password: {value: x}}"
    assert refused(text)[0].endswith("no secret 'redis-pasword'; did you mean 'redis-password'?")


def test_no_secret_is_in_any_problem_or_warning_or_in_what_is_printed() -> None:
    text = mesh(protocol="{name: dubbo, depth: 0, password: {secret: pw}}") + SECRET % "value: hunter2"
    problems = refused(text)
    assert problems != []
    assert all("hunter2" not in problem for problem in problems)
    assert "hunter2" not in repr(accepted(text.replace("depth: 0", "depth: 1")))
