"""
A stand-in for Consul's agent: the part of its published HTTP API that a discovery needs. It is no Consul.

    python agent.py PORT

PUT /v1/agent/service/register (ID, Name, Address, Port, Tags, Meta, Weights), PUT /v1/agent/service/deregister/ID,
GET /v1/health/service/NAME with `index` and `wait` (blocking), `tag`; X-Consul-Index. All is lost when it ends.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Catalogue:
    """Services by id. index: counts changes, from 1 on, as an index of 0 asks for no waiting."""

    def __init__(self):
        self.changed = threading.Condition()
        self.services = {}
        self.index = 1

    def change(self, action):
        with self.changed:
            action(self.services)
            self.index += 1
            self.changed.notify_all()

    def wait(self, index, seconds):
        deadline = time.monotonic() + seconds
        with self.changed:
            while index and self.index <= index and time.monotonic() < deadline:
                self.changed.wait(deadline - time.monotonic())
            return self.index, list(self.services.values())


CATALOGUE = Catalogue()


def seconds(text):
    units = {"ms": 0.001, "s": 1, "m": 60}
    unit = next((each for each in units if text.endswith(each)), "s")
    return float(text.removesuffix(unit)) * units[unit]


def entry(service):
    return {
        "Node": {"Node": "stand-in", "Address": "127.0.0.1", "Datacenter": "dc1", "Meta": {}},
        "Service": {
            "ID": service.get("ID") or service["Name"], "Service": service["Name"],
            "Address": service.get("Address", ""), "Port": service.get("Port", 0), "Tags": service.get("Tags") or [],
            "Meta": service.get("Meta") or {}, "Weights": service.get("Weights") or {"Passing": 1, "Warning": 1},
        },
        "Checks": [{"CheckID": "serfHealth", "Status": "passing"}],
    }  # fmt: skip


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = urlsplit(self.path).path
        if path == "/v1/agent/service/register":
            service = json.loads(body)
            CATALOGUE.change(lambda services: services.update({service.get("ID") or service["Name"]: service}))
        elif path.startswith("/v1/agent/service/deregister/"):
            CATALOGUE.change(lambda services: services.pop(unquote(path.rpartition("/")[2]), None))
        self.answer(b"")

    def do_GET(self):
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if not parts.path.startswith("/v1/health/service/"):
            self.answer(b"{}")
            return
        name = unquote(parts.path.rpartition("/")[2])
        index, services = CATALOGUE.wait(int(query.get("index", ["0"])[0]), seconds(query.get("wait", ["5m"])[0]))
        tags = set(query.get("tag", ()))
        found = [entry(one) for one in services if one["Name"] == name and tags <= set(one.get("Tags") or ())]
        self.answer(json.dumps(found).encode(), [("X-Consul-Index", str(index)), ("X-Consul-KnownLeader", "true")])

    def answer(self, body, headers=()):
        self.send_response(200)
        for name, value in [*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Agent)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
