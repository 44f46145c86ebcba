"""Every kind of secret, planted wherever a run may meet it, and looked for in everything that the run leaves."""

import base64
import json
import textwrap

import pytest

from swarmlab import paths
from swarmlab.evidence import redact
from swarmlab.report import html
from swarmlab.verdicts.results import load
from tests.unit.helpers import CONFTEST, HEADER

pytest_plugins = ["pytester"]


def pem(kind, body):
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


def b64(text):
    return base64.b64encode(text.encode()).decode()


DIGEST = "3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl"
WORKER, MANAGER = "7p73s1dx5in4tatdymyhg9hu2", "1awxwuwd3z9j1z3puu7rcgdbx"
UNLOCK = "7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8"
CA_KEY = "MHcCAQEEIPlantedCaKeyPlantedCaKeyPlantedCaKeyoAoGCCqGSM49AwEHoUQDQ=="
NODE_KEY = "MHcCAQEEIPlantedNodeKeyPlantedNodeKeyPlantedNodeKeyGSM49AwEHoUQDQ=="
CONTENT, TYPED, LOGIN, STDIN, ROOT = (
    "hunter2-of-the-api",
    "hunter2-of-the-cli",
    "hunter2-login",
    "hunter2-stdin",
    "hunter2-root",
)
DATABASE, URL = "hunter2-database", "hunter2-url"
TYPES = "EC PRIVATE KEY"

#: What is secret, and how it is met: as a command, an answer, an error.
PLANTED = {
    WORKER: [f"docker swarm join --token SWMTKN-1-{DIGEST}-{WORKER} 10.0.0.1:2377", f"expected {WORKER} as before"],
    MANAGER: [json.dumps({"JoinTokens": {"Manager": f"SWMTKN-1-{DIGEST}-{MANAGER}"}}), f"assert '{MANAGER}' != ''"],
    UNLOCK: [f"SWMKEY-1-{UNLOCK}", json.dumps({"UnlockKey": f"SWMKEY-1-{UNLOCK}"}), f"no {UNLOCK} here"],
    CA_KEY: [
        json.dumps({"CAConfig": {"SigningCAKey": pem(TYPES, CA_KEY)}}),
        pem("PRIVATE KEY", CA_KEY),
        b64(pem(TYPES, CA_KEY)),
    ],
    NODE_KEY: [
        f"swarm-node.key:\n{pem(TYPES, f'kek-version: 0{chr(10)}{chr(10)}{NODE_KEY}')}",
        f"the end of it:\n{NODE_KEY}\n-----END {TYPES}-----",
    ],
    CONTENT: [
        f"POST /v1.41/secrets/create b'{json.dumps({'Name': 's', 'Data': b64(CONTENT)})}'",
        f"cat /run/secrets/s: {CONTENT}",
        f"and again {b64(CONTENT)}",
    ],
    TYPED: [f"printf '%s' {TYPED} | docker secret create s -", f"the task read '{TYPED}'"],
    LOGIN: [f"docker login -u me -p {LOGIN} registry:5000", f"docker login --password={LOGIN} -u me registry:5000"],
    STDIN: [f"echo '{STDIN}' | docker login -u me --password-stdin registry:5000"],
    ROOT: [f"X-Registry-Auth: {b64(ROOT)}", json.dumps({"auths": {"registry:5000": {"auth": b64(ROOT)}}})],
    DATABASE: [
        f"docker run -e MYSQL_ROOT_PASSWORD={DATABASE} mysql:1",
        json.dumps({"Env": [f"MYSQL_ROOT_PASSWORD={DATABASE}", "A=b"]}),
        f"environment:\n  WORDPRESS_DB_PASSWORD: {DATABASE}\n",
        f"mysql -uroot -p{DATABASE} -e 'show databases'",
        f"API_TOKEN={DATABASE} S3_SECRET={DATABASE}",
    ],
    URL: [f"http://me:{URL}@registry:5000/v2/"],
}
WORDS = [(text, form) for text, forms in PLANTED.items() for form in forms]


def found(text):
    """Return the secrets that stand in *text*, also in base64."""
    return [secret for secret in PLANTED if secret in text or b64(secret).rstrip("=") in text]


@pytest.mark.parametrize(("secret", "form"), WORDS)
def test_each_form_alone(secret, form):
    for text in PLANTED[secret]:  # what was seen whole is known where it stands alone
        redact(text)
    assert secret not in redact(form)
    assert b64(secret).rstrip("=") not in redact(form)


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "workers"])
def test_nothing_that_a_run_leaves_holds_a_secret(pytester, monkeypatch, workers):
    monkeypatch.setenv("PYTHONPATH", str(paths.ROOT))
    pytester.makeini("[pytest]\naddopts = --strict-markers --tb=short\ncomplete_sections = 7.2.2\n")
    pytester.makeconftest(textwrap.dedent(CONFTEST))
    (pytester.path / "planted.json").write_text(json.dumps([form for _, form in WORDS]))
    suites = pytester.path / "suites"
    suites.mkdir()
    (suites / "test_it.py").write_text(
        textwrap.dedent(HEADER)
        + textwrap.dedent("""
        import json, logging, pathlib
        from swarmlab.evidence import on_failure
        PLANTED = json.loads((pathlib.Path(__file__).parent.parent / "planted.json").read_text())

        def met():
            for words in PLANTED:
                record("master", words, "")
                record("master", "cat", words)
            on_failure.append(lambda journal: journal.attach("log", "\\n".join(PLANTED)))
            print("\\n".join(PLANTED))
            logging.getLogger().warning("\\n".join(PLANTED))

        @pytest.fixture
        def breaks():
            met()
            raise LabError(" ".join(PLANTED))

        @claim('7.2.2/ls-columns')
        def test_passes():
            met()

        @claim('7.2.2/inspect')
        @pytest.mark.parametrize('number', range(len(PLANTED)))
        def test_fails(number):
            met()
            assert PLANTED[number] == 'x', PLANTED[number]

        @claim('7.2.2/managers-only')
        def test_breaks(breaks): pass

        @claim('7.1/ingress-network')
        def test_is_refused():
            met()
            raise EngineRefused('master', 500, '\\n'.join(PLANTED))

        @claim('7.1/overlay-spans-nodes')
        def test_errs():
            met()
            raise ValueError(PLANTED)

        @claim('7.3/attachable')
        def test_is_blocked():
            met()
            raise Blocked(' '.join(PLANTED))
        """)
    )
    ran = pytester.runpytest_subprocess("suites", *workers)
    folder = pytester.path / "reports"
    html.write([load(folder)], folder / "report.html")
    names = {file.name.rpartition(".")[2] for file in folder.rglob("*") if file.is_file()}
    assert names >= {"json", "txt", "xml", "html", "properties"}
    run = load(folder)
    assert {str(claim.verdict) for claim in run.claims.values()} == {"pass", "fail", "broken", "blocked"}
    leaks = {
        str(file.relative_to(folder)): held
        for file in folder.rglob("*")
        if file.is_file() and (held := found(file.read_text(encoding="utf-8")))
    }
    assert leaks == {}
    assert found(ran.stdout.str() + ran.stderr.str()) == []
