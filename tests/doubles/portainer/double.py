"""Answers in Portainer's place, with the standard library alone: first login, endpoints, and requests to Docker.

VERSION in the environment is the release that it behaves like (1.24 or 2). FAULTS lists what it does wrong:

    https      port 9000 answers as a TLS server does
    open       no login is needed
    any        every password is accepted
    set        an administrator exists from the start
    again      a second administrator can be set
    hides      the swarm's last node is not shown
    stays      a container is not removed
    elsewhere  creating a container answers with success and does nothing
    forgets    settings are not kept in the volume
    nothing    the page is empty
"""

import cgi
import http.client
import io
import json
import os
import secrets
import signal
import socket
import sys
import urllib.parse
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = os.environ.get("VERSION", "2")
FAULTS = os.environ.get("FAULTS", "").split()
SOCKET = "/var/run/docker.sock"
KEPT = Path("/tmp" if "forgets" in FAULTS else "/data", "portainer.db")
PAGE = b"<!DOCTYPE html><html ng-app='portainer'><head><title>Portainer</title></head><body></body></html>"
#: The tokens of open sessions; a restart ends all sessions.
TOKENS = set()


class Kept(dict):
    """The settings, which are the administrator and the endpoints; written whenever they change."""

    def __init__(self):
        super().__init__(admin=None, endpoints=[])
        if KEPT.exists():
            self.update(json.loads(KEPT.read_text()))

    def save(self):
        KEPT.write_text(json.dumps(self))

    def add(self, name):
        endpoint = {"Id": len(self["endpoints"]) + 1, "Name": name, "Type": 1, "URL": f"unix://{SOCKET}"}
        self["endpoints"].append(endpoint)
        self.save()
        return endpoint


class Engine(http.client.HTTPConnection):
    """A connection to the engine by its mounted socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message):
        self.answer(status, {"message": message, "details": message})

    def handle_any(self):
        size = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(size) if size else b""
        path, _, self.query = self.path.partition("?")
        if "https" in FAULTS:
            self.answer(400, b"Client sent an HTTP request to an HTTPS server.\n", "text/plain")
        elif not path.startswith("/api/"):
            self.answer(200, b"" if "nothing" in FAULTS else PAGE, "text/html")
        else:
            self.api(self.command, path.removeprefix("/api"))

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def api(self, method, path):
        if (method, path) == ("GET", "/status"):
            self.answer(200, {"Version": "1.24.2" if VERSION == "1.24" else "2.19.5"})
        elif (method, path) == ("GET", "/users/admin/check"):
            if settings["admin"]:
                self.answer(204)
            else:
                self.refuse(404, "No administrator account found inside the database")
        elif (method, path) == ("POST", "/users/admin/init"):
            self.set_administrator(json.loads(self.body))
        elif (method, path) == ("POST", "/auth"):
            self.log_in(json.loads(self.body))
        elif not self.let_in():
            self.refuse(401, "Unauthorized")
        elif path == "/endpoints":
            self.endpoints(method)
        elif path.startswith("/endpoints/"):
            _, _, identity, kind, *rest = path.split("/")
            known = [one for one in settings["endpoints"] if str(one["Id"]) == identity]
            if kind == "docker" and known:
                self.docker(method, "/" + "/".join(rest))
            else:
                self.refuse(404, "Unable to find an endpoint with the specified identifier inside the database")
        else:
            self.refuse(404, "Not found")

    def set_administrator(self, asked):
        if settings["admin"] and "again" not in FAULTS:
            self.refuse(409, "An administrator user already exists")
        elif not asked.get("Username") or not asked.get("Password"):
            self.refuse(400, "Invalid request payload")
        elif VERSION != "1.24" and len(asked["Password"]) < 12:
            self.refuse(400, "Password does not meet the requirements")
        else:
            settings["admin"] = [asked["Username"], asked["Password"]]
            settings.save()
            self.answer(200, {"Id": 1, "Username": asked["Username"], "Role": 1})

    def log_in(self, asked):
        right = settings["admin"] == [asked.get("Username"), asked.get("Password")]
        if right or ("any" in FAULTS and settings["admin"]):
            TOKENS.add(token := secrets.token_hex(20))
            self.answer(200, {"jwt": token})
        else:
            self.refuse(422, "Invalid credentials")

    def let_in(self):
        return "open" in FAULTS or self.headers.get("Authorization", "").removeprefix("Bearer ") in TOKENS

    def endpoints(self, method):
        if method == "GET":
            self.answer(200, settings["endpoints"])
            return
        about = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": self.headers.get("Content-Type", "")}
        form = cgi.FieldStorage(io.BytesIO(self.body), headers=self.headers, environ=about)
        kind = "EndpointType" if VERSION == "1.24" else "EndpointCreationType"
        if form.getvalue(kind) != "1" or not form.getvalue("Name"):
            self.refuse(400, "Invalid request payload")
        elif VERSION != "1.24" and any(one["Name"] == form.getvalue("Name") for one in settings["endpoints"]):
            self.refuse(409, "Name is not unique")
        else:
            self.answer(200, settings.add(form.getvalue("Name")))

    def docker(self, method, path):
        """Pass a request on to the engine."""
        if "stays" in FAULTS and method == "DELETE":
            self.answer(204)
            return
        if "elsewhere" in FAULTS and path == "/containers/create":
            self.answer(201, {"Id": "0" * 64, "Warnings": []})
            return
        engine = Engine("docker")
        headers = {"Content-Type": self.headers["Content-Type"]} if self.headers.get("Content-Type") else {}
        engine.request(method, f"{path}?{self.query}", body=self.body, headers=headers)
        reply = engine.getresponse()
        data = reply.read()
        if "hides" in FAULTS and path == "/nodes":
            data = json.dumps(json.loads(data)[:-1]).encode()
        self.answer(reply.status, data, reply.headers.get("Content-Type", "text/plain"))


def end(*_):
    sys.exit(0)


warnings.simplefilter("ignore")
signal.signal(signal.SIGTERM, end)
settings = Kept()
if "set" in FAULTS and not settings["admin"]:
    settings["admin"] = ["admin", "tryportainer"]
hosts = urllib.parse.unquote(sys.argv[sys.argv.index("-H") + 1]) if "-H" in sys.argv else ""
if hosts and not settings["endpoints"]:
    settings.add("primary")
ThreadingHTTPServer(("", 9000), Answers).serve_forever()
