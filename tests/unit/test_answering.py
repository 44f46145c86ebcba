"""Whether an engine answers, against a socket that answers once."""

import http.server
import json
import socketserver
import threading

import pytest

from swarmlab.errors import NoAnswer
from swarmlab.labs.answering import answers, info_at, rootless


@pytest.fixture
def frozen(tmp_path):
    """Address of an engine that answers with its version, and then with nothing more."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.path.endswith("/version"):
                self.connection.close()
                return
            body = json.dumps({"ApiVersion": "1.41"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self):
            return "client"

        def log_message(self, *_):
            pass

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "docker.sock"), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{tmp_path}/docker.sock"
        server.shutdown()


def test_an_engine_that_freezes_after_its_first_answer_does_not_answer(frozen):
    assert answers(frozen)
    with pytest.raises(NoAnswer, match=r"the engine at .* does not answer"):
        info_at(frozen)


def test_nothing_answers_at_an_address_without_an_engine(tmp_path):
    assert not answers(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(NoAnswer, match=r"no engine answers at "):
        info_at(f"unix://{tmp_path}/docker.sock")


def test_an_engine_without_root_says_so():
    assert rootless({"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"]})
    assert not rootless({"SecurityOptions": ["name=seccomp,profile=default"]})
    assert not rootless({"SecurityOptions": None})
