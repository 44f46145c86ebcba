"""An external certificate authority for a swarm: ``python3 signer.py FOLDER ADDRESS PORT``.

This script is copied to a node, where the rest of the project is missing: it needs Python's own library and openssl
only. It speaks the protocol of cfssl, as swarms do: a request comes as JSON over HTTPS, and the certificate goes back.
FOLDER has root.pem and root.key, with which it signs, and server.pem, its own certificate and key. It writes subject
and serial number of every certificate that it signs to signed.log.

Source:
    https://github.com/cloudflare/cfssl/blob/master/doc/api/endpoint_sign.txt
"""

import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SETTINGS = """
[ca]
default_ca = authority
[authority]
database = index
new_certs_dir = .
certificate = root.pem
private_key = root.key
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 60
policy = policy
x509_extensions = node
[policy]
organizationName = optional
organizationalUnitName = optional
commonName = supplied
[node]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = %s
"""


def sign(asked: "dict[str, Any]") -> str:
    """Return the certificate for a request in cfssl's form.

    Raises:
        KeyError: the request lacks a field.
        ValueError: the request has an invalid name, or openssl refuses it.
    """
    names = {}
    for name in asked["subject"].get("names") or []:
        names.update({key: value for key, value in name.items() if key in ("O", "OU") and value})
    names["CN"] = asked["subject"]["CN"]
    for value in [*names.values(), *asked["hosts"]]:
        if not re.match(r"^[\w.-]+$", value):
            raise ValueError(value)
    Path("settings").write_text(SETTINGS % ",".join("DNS:" + host for host in asked["hosts"]), "utf-8")
    Path("request").write_text(asked["certificate_request"], "utf-8")
    subject = "".join(f"/{key}={value}" for key, value in names.items())
    since = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() - 3600))
    command = ["openssl", "ca", "-config", "settings", "-batch", "-notext", "-subj", subject, "-startdate", since]
    done = subprocess.run([*command, "-in", "request", "-out", "issued"], stderr=subprocess.PIPE)
    if done.returncode:
        raise ValueError(done.stderr.decode())
    serial = subprocess.check_output(["openssl", "x509", "-in", "issued", "-noout", "-serial"]).decode()
    with Path("signed.log").open("a") as log:
        log.write(f"{subject} {serial.strip().replace('serial=', '')}\n")
    return Path("issued").read_text("utf-8")


class Signer(http.server.BaseHTTPRequestHandler):
    """Answers requests to sign."""

    def do_POST(self) -> None:
        """Answer one request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])).decode())
        try:
            answer = {"success": True, "result": {"certificate": sign(asked)}, "errors": [], "messages": []}
        except (KeyError, ValueError) as wrong:
            answer = {"success": False, "result": None, "errors": [{"code": 1, "message": str(wrong)}], "messages": []}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until the process is ended."""
    folder, address, port = sys.argv[1:]
    os.chdir(folder)
    Path("index").touch()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem")
    server = http.server.HTTPServer((address, int(port)), Signer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
