"""
The peers that speak HTTP/1.1, HTTP/2 and WebSocket: how each is run, and what it says.

Lives here: nginx, haproxy, nghttpd, nghttpx, the servers and clients of `h2`, `websockets` and `ws`, as commands for
the fixtures `start` and `clients`; curl, wrk, h2load and nghttp, which end by themselves, with their results read.
Does not: starting and ending them (running.py, conftest.py), an HTTP/2 client to be led step by step (h2_client.py).

A server is started on a port that is free, and is ready when `start` returns; the fixture ends it by its pid:

    port = free_port()
    start(http_peers.nginx(tmp_path, h1=port))                       # or start_here, for one test
    assert http_peers.curl(f"http://127.0.0.1:{port}/echo").status == 200

A client that lives for many jobs is asked through `clients`; its answer is a list with a result a step:

    jobs = clients(http_peers.websocket_client("ws"))
    jobs.run(port=port, path="/echo", steps=[{"do": "send", "text": "hi"}, {"do": "receive"}])

Mark a test with @pytest.mark.peer(names of catalogue.py): where one is missing it is skipped, and fails under CI.
`Authority` of tests/shared makes the certificates; test_http_peers.py shows every peer at work.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from authority import Issued
from catalogue import Command, node_command, output, python_command
from running import answers

WEBSOCKET_PEERS = ("websockets", "ws")
"""Servers and clients alike; the names of the marker `peer`."""


def _ready(*ports: int) -> partial[bool]:
    return partial(_all_answer, [port for port in ports if port])


def _all_answer(ports: Sequence[int]) -> bool:
    return all(map(answers, ports))


_NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type text/plain;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  client_max_body_size 0;
  keepalive_requests 1000000;
  server {{
    {listen}
    root {directory};
    location / {{ return 404 "no such place\\n"; }}
    location /echo {{
      return 200 "$request_method $request_uri host=$http_host via=$http_via for=$http_x_forwarded_for\\n";
    }}
    location /status/204 {{ return 204; }}
    location /status/503 {{ return 503 "busy\\n"; }}
    location /redirect {{ return 302 /echo; }}
    location /files/ {{ dav_methods PUT DELETE; create_full_put_path on; }}
    location /chunked/ {{ alias {directory}/files/; ssi on; ssi_types text/plain; }}
    {more}
  }}
}}
"""


def nginx(
    directory: Path,
    *,
    h1: int = 0,
    h2c: int = 0,
    tls: int = 0,
    issued: Issued | None = None,
    proxy_to: int = 0,
    grpc_to: int = 0,
    locations: str = "",
) -> Command:
    """
    nginx on the ports that are given; `h2c` takes HTTP/2 alone (prior knowledge), `tls` both, by ALPN.

    /echo answers with what it saw, /files/ are those of directory/files (GET, HEAD, ranges, PUT, DELETE), /chunked/ the
    same without a length, /status/204, /status/503, /redirect; proxy_to: /proxy/ goes to that port over HTTP/1.1, not
    buffered; grpc_to: what is none of these, gRPC's paths, goes there by `grpc_pass`. locations: more of them.
    """
    (directory / "files").mkdir(exist_ok=True)
    listen = [
        f"listen 127.0.0.1:{port}{how};" for port, how in ((h1, ""), (h2c, " http2"), (tls, " ssl http2")) if port
    ]
    if tls:
        assert issued is not None, "TLS needs a certificate"
        listen.append(f"ssl_certificate {issued.certificate}; ssl_certificate_key {issued.key};")
    more = [locations]
    if proxy_to:
        more.append(
            f"location /proxy/ {{ proxy_pass http://127.0.0.1:{proxy_to}/; proxy_http_version 1.1; "
            "proxy_buffering off; proxy_request_buffering off; "
            'proxy_set_header Connection ""; proxy_set_header Host $http_host; }'
        )
    if grpc_to:
        more.append(f"location ~ ^/[\\w.]+/\\w+$ {{ grpc_pass grpc://127.0.0.1:{grpc_to}; }}")
    text = _NGINX.format(directory=directory, listen="\n    ".join(listen), more="\n    ".join(more))
    file = directory / "nginx.conf"
    file.write_text(text)
    return Command(["nginx", "-p", directory, "-c", file], ready=_ready(h1, h2c, tls))


_HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}{bind}
  {rule}
{backend}
"""


def haproxy(
    directory: Path,
    port: int,
    to: int = 0,
    *,
    h2: bool = False,
    to_h2: bool = False,
    cases: Sequence[int] = (),
    issued: Issued | None = None,
) -> Command:
    """
    haproxy before the port `to`, or as a server, which answers 200 with the method, the path and the body's size.

    h2: its listener takes HTTP/2 alone, by prior knowledge; issued: TLS, with both by ALPN; to_h2: its server is spoken
    to in HTTP/2; cases: ports, of which the header x-case names one, spoken to in HTTP/2 (see spec_peers.through).
    """
    bind = " proto h2" if h2 else ""
    if issued is not None:
        file = directory / "haproxy.pem"
        file.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
        bind = f" ssl crt {file} alpn h2,http/1.1"
    rule, backend = "default_backend back", f"backend back\n  server one 127.0.0.1:{to}{' proto h2' if to_h2 else ''}\n"
    if cases:
        rule = "use_backend case-%[req.hdr(x-case)]"
        backend = "".join(f"backend case-{each}\n  server one 127.0.0.1:{each} proto h2\n" for each in cases)
    elif not to:
        text = '"%[method] %[path] body=%[req.body_size]\\n"'
        rule = "option http-buffer-request\n  http-request return status 200 content-type text/plain lf-string " + text
        backend = ""
    path = directory / f"haproxy-{port}.cfg"
    path.write_text(_HAPROXY.format(port=port, bind=bind, rule=rule, backend=backend))
    return Command(["haproxy", "-db", "-f", path], ready=_ready(port))


def nghttpd(directory: Path, port: int, *options: str, issued: Issued | None = None) -> Command:
    """nghttp2's server of a directory's files, HTTP/2 alone. options: say "--trailer=x-end: yes", "--echo-upload"."""
    tls = [issued.key, issued.certificate] if issued is not None else []
    return Command(
        ["nghttpd", "-a", "127.0.0.1", "-d", directory, *options, *([] if tls else ["--no-tls"]), str(port), *tls],
        ready=_ready(port),
    )


def nghttpx(port: int, to: int, *options: str, to_h2: bool = False) -> Command:
    """nghttp2's proxy in clear text: HTTP/1.1, HTTP/2 by prior knowledge and by Upgrade; to_h2: it speaks HTTP/2 on."""
    backend = f"127.0.0.1,{to};;proto=h2" if to_h2 else f"127.0.0.1,{to}"
    fixed = ["--conf=/dev/null", "--workers=1", "--errorlog-file=/dev/stderr", "--no-ocsp"]
    return Command(["nghttpx", *fixed, f"-f127.0.0.1,{port};no-tls", f"-b{backend}", *options], ready=_ready(port))


def h2_server(port: int, *options: str, issued: Issued | None = None) -> Command:
    """A server on `h2` that does what its path asks, and prints what it sees: see peers/http/h2_server.py."""
    tls = [f"certificate={issued.certificate}", f"key={issued.key}"] if issued is not None else []
    return python_command("http/h2_server.py", "main", str(port), *options, *tls)


def websocket_server(peer: str, port: int, issued: Issued | None = None) -> Command:
    """A server of the peer "websockets" or "ws"; what its paths do is listed in peers/websocket/py_server.py."""
    tls = [str(issued.certificate), str(issued.key)] if issued is not None else []
    if peer == "ws":
        return node_command("websocket/ws_server.js", str(port), *tls)
    return python_command("websocket/py_server.py", "main", str(port), *tls)


def websocket_client(peer: str) -> Command:
    """A client for the fixture `clients`; its jobs are listed in peers/websocket/py_client.py."""
    if peer == "ws":
        return node_command("websocket/ws_client.js")
    return python_command("websocket/py_client.py", "main")


@dataclass(frozen=True)
class Curl:
    """What curl got. exit: 0 when all went well; heads: of every answer, 1xx and redirects too, in order."""

    exit: int
    status: int
    version: str
    headers: dict[str, str]
    heads: list[str]
    body: bytes
    facts: dict[str, Any]
    error: str


def curl(*arguments: str, seconds: float = 60.0, keep: bool = True) -> Curl:
    """
    Runs curl. headers: those of the last answer, names in lower case; facts: all of curl's `%{json}`; keep: False for
    bodies that are too long to be kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        head, body = Path(folder, "head"), Path(folder, "body") if keep else Path("/dev/null")
        fixed = ["-sS", "--noproxy", "*", "-m", str(seconds), "-D", str(head), "-o", str(body), "-w", "%{json}"]
        ran = subprocess.run(["curl", "-q", *fixed, *arguments], capture_output=True, timeout=seconds + 5)
        heads = [each for each in _text(head).replace("\r\n", "\n").split("\n\n") if each]
        facts = json.loads(ran.stdout)
        lines = [line.partition(":") for line in (heads[-1] if heads else "").splitlines()[1:]]
        return Curl(
            ran.returncode,
            int(facts["http_code"]),
            facts["http_version"],
            {name.strip().lower(): value.strip() for name, _, value in lines},
            heads,
            body.read_bytes() if keep and body.exists() else b"",
            facts,
            ran.stderr.decode(errors="replace"),
        )


def _text(file: Path) -> str:
    return file.read_bytes().decode("latin-1") if file.exists() else ""


@dataclass(frozen=True)
class Load:
    """
    What a load generator counted. failed: no answer, or one that it could not read; statuses: by class, as "2xx".

    A test that asks for `done` of all requests asks for `failed == 0` too.
    """

    done: int
    failed: int
    statuses: dict[str, int]
    text: str


def wrk(url: str, seconds: int = 1, connections: int = 4, *arguments: str) -> Load:
    """Runs wrk with one thread. It counts answers that are neither 2xx nor 3xx together, here as "other"."""
    text = output("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *arguments, url)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    other = int(_number(r"Non-2xx or 3xx responses: (\d+)", text))
    done = int(_number(r"(\d+) requests in", text))
    failed = sum(map(int, errors.groups())) if errors else 0
    return Load(done, failed, {"2xx": done - other, "other": other}, text)


def h2load(url: str, requests: int = 100, clients: int = 2, streams: int = 10, *arguments: str) -> Load:
    """Runs h2load with one thread: HTTP/2 by prior knowledge, or by ALPN for https; "--h1" for HTTP/1.1."""
    text = output("h2load", "-t1", f"-n{requests}", f"-c{clients}", f"-m{streams}", *arguments, url)
    statuses = {each[1]: int(each[0]) for each in re.findall(r"(\d+) (\dxx)", text)}
    failed = sum(int(_number(rf"(\d+) {how}", text)) for how in ("failed", "errored", "timeout"))
    return Load(int(_number(r"(\d+) done", text)), failed, statuses, text)


def _number(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "0"


def nghttp(url: str, *arguments: str) -> str:
    """What nghttp prints of the frames both ways: "recv SETTINGS frame", "send HEADERS frame" and their fields."""
    return output("nghttp", "-nv", "--no-push", *arguments, url)
