"""Bad input to the real programs: one line that names the thing, the documented exit status, in time, nothing left."""

import contextlib
import dataclasses
import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fixtures.options import _FLAGS
from swarmlab import host, joined
from swarmlab.downloads import unreached, why
from swarmlab.errors import UsageError
from swarmlab.labs import outer
from swarmlab.labs.context import named_engine
from swarmlab.paths import ROOT

NOWHERE = "unix:///nowhere/docker.sock"
EXISTING = "--lab inventory --inventory"
WAIVER = "- {claim: 7.2.2/inspect, justification: known for long, owner: ops, expires: 2999-12-31}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
#: Files that commands name, below the folder {tmp} of the test.
FILES = {
    "file": "",
    "bomb.yaml": BOMB,
    "twice.yaml": WAIVER.replace("owner: ops", "owner: ops, owner: dev"),
    "date.yaml": WAIVER.replace("2999-12-31", "2026-13-31"),
    "form.yaml": WAIVER.replace("owner: ops", "owner: ops, engine: bookworm"),
    "number.yaml": WAIVER.replace("owner: ops", "owner: ops, engine: 20.10"),
    "typo.yaml": WAIVER.replace("owner: ops", "ower: ops"),
    "broken.yaml": "- claim: [7.2.2\n",
    "check.yaml": WAIVER.replace("claim: 7.2.2/inspect", "check: limit"),
    "large.yaml": WAIVER * 20_000,
    "latin.yaml": b"- claim: 7.2.2/inspect # caf\xe9\n",
    "nul.tar": b"\0" * 10,
    "empty": "",
    "docker/config.json": '{"currentContext": "prod"}',
    "docker/contexts/meta/x/meta.json": '{"Name": "prod", "Endpoints": {"docker": {"Host": "ssh://root@127.0.0.1:1"}}}',
    "gone/config.json": '{"currentContext": "gone"}',
    "json/config.json": "{",
    "nodes.yaml": "nodes: [{address: 192.0.2.1}]",
    "empty.toml": "",
    "typo.toml": 'waiver = "x"',
    "broken.toml": "profile =",
    "place.toml": 'waivers = "nowhere.yaml"',
    "disrupt.toml": 'may-disrupt = "x"\nlab = "dind"',
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A command, and how it has to end.

    Attributes:
        command: its words; {tmp} is the test's folder.
        phrase: what its last line has to say.
        environment: variables beside those of the tests.
        status: its exit status; by default that of wrong input.
        seconds: how many seconds of the processor it may take.
    """

    command: str
    phrase: str
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    status: int | None = None
    seconds: float = 10


def pytest_rows():
    def row(options, phrase, **more):
        return Row(f"pytest suites/ {options}", phrase, **more)

    yield row("--lab-name ux --engine forky", "--engine: has no effect beside --lab-name")
    yield row("--lab vagrant --lab-name ux --provider libvirt", "--provider: has no effect beside --lab-name")
    yield row("--lab-name nosuch", f"no engine answers at DOCKER_HOST={NOWHERE}")
    for hours in ("-1", "0", "nan", "inf", "-inf"):
        yield row(f"--hours={hours}", f"--hours {hours}: write the hours that one test may take")
    yield row("--cis-node-days inf", "--cis-node-days inf: write a number of days above 0")
    yield row("--profile smok", "--profile smok: no such profile; did you mean smoke?")
    yield row("--lab dnd", "--lab dnd: no such lab; did you mean dind?")
    yield row("--hours soon", "--hours soon: write a number")
    yield row("--provider virtualbox", "--provider: is an option of --lab vagrant; give that too")
    yield row("--engine bookworm,", "--engine: bookworm,: has an empty part")
    yield row("--engine bookworm,,trixie", "--engine: bookworm,,trixie: has an empty part")
    yield row("--engine ''", "--engine: is empty")
    yield row("--reports ''", "--reports: is empty")
    yield row("--again nosuch", "--again: nosuch: there is no such run")
    yield row("--again ''", "--again: is empty")
    yield row(f"--again {'a' * 5000}", "there is no such run")
    yield row("--again suites/ch2_networks", "is a folder of tests and no run")
    yield row("--again --shard 1/2", "--shard: has no effect beside --again")
    yield row("--again --rehearse 20.10.24,28.5.2", "--again: a rehearsal has one cluster")
    yield row("--claims --again", "--again: has no effect beside --claims")
    yield row("--progress-json {tmp}", "is a folder; name a file in it")
    yield row("--progress-json {tmp}/none/x", "there is no folder")
    yield row("--progress-json ''", "--progress-json: is empty")
    yield row("--rehearse-workers 2", "--rehearse-workers: has no effect without --rehearse")
    yield row("--rehearse 20.10.24,28.5.2 --rehearse-managers many", "--rehearse-managers many: write a whole number")
    yield row("--rehearse 20.10.24,28.5.2 --waivers {tmp}/file", "--waivers: has no effect beside --rehearse")
    yield row("--claims --profile smoke", "--profile: has no effect beside --claims")
    yield row("--profiles --claims", "--profiles: has no effect beside --claims")
    yield row("--engine ~nouser/docker.tgz", "~nouser/docker.tgz: there is no such user")
    yield row(f"--engine {'a' * 5000}/x", "there is no such file or folder")
    yield row("--image portainer=~nouser/x.tar", "there is no such user")
    yield row(f"--image portainer=/{'a' * 5000}", "there is no such file")
    yield row("--image portainer={tmp}/nul.tar", "is not a saved image")
    yield row("--waivers {tmp}", "cannot be read: Is a directory")
    yield row("--waivers {tmp}/none.yaml", "cannot be read: No such file")
    yield row("--waivers ~nouser/w.yaml", "there is no such user")
    yield row("--waivers {tmp}/bomb.yaml", "bomb.yaml, line 5, column 4: holds more than 50000 values")
    yield row("--waivers {tmp}/twice.yaml", "twice.yaml, line 1, column 69: the key 'owner' stands in line 1 already")
    yield row("--waivers {tmp}/date.yaml", "expires: '2026-13-31' is not a date")
    yield row("--waivers {tmp}/form.yaml", "engine: 'bookworm' matches the version of no engine")
    yield row("--waivers {tmp}/number.yaml", "engine: 20.1 is no text; put it in quotes")
    yield row("--waivers {tmp}/typo.yaml", "'ower' is no key of a waiver; did you mean owner?")
    yield row("--waivers {tmp}/broken.yaml", "broken.yaml, line 2, column 1: is not YAML")
    yield row("--waivers {tmp}/large.yaml", "has more than 256 KiB")
    yield row("--waivers {tmp}/latin.yaml", "latin.yaml, line 1: is not text in UTF-8")
    yield row("--waivers {tmp}/file/w.yaml", "cannot be read: Not a directory")
    yield row(
        "--waivers {tmp}/check.yaml", "no check 'limit'; did you mean limits? (swarmlab preflight --list lists them)"
    )
    yield row("--metrics {tmp}", "--metrics {tmp}: is a folder; name a file in it")
    yield row("--metrics {tmp}/x.prom --shard 1/2", "--metrics: a shard knows nothing of the claims of the others")
    yield row("--metrics ''", "--metrics: is empty")
    yield row("--metrics ~nouser/x.prom", "there is no such user")
    yield row("--keep-runs x", "ERROR: --keep-runs: 'x' is not a number: write how many to keep, or 0 for all")
    yield row("--lab", "ERROR: --lab: expected one argument")
    yield row("suites/nosuch", "ERROR: file or directory not found: suites/nosuch")
    yield row("suites/ch2_networks::x", "suites/ch2_networks::x: is a folder; name a file of it before ::")
    machines = "suites/ch1_hosts/test_machines.py"
    yield row(f"{machines}::nosuch -n 2", f"{machines}::nosuch: test_machines.py has no 'nosuch'")
    yield row("-k 'a and'", "-k a and: at column 6: expected not OR left parenthesis OR identifier")
    yield row("-m 'lab and' -n 2", "-m lab and: at column 8: expected not OR left parenthesis OR identifier")
    yield row("--rootdir {tmp}", "for its root folder, and the suites need")
    yield row("-k nothing", "SWARMLAB_CACHE={tmp}/file: is a file", environment={"SWARMLAB_CACHE": "{tmp}/file"})
    yield row(f"{EXISTING} {{tmp}}/bomb.yaml", "bomb.yaml, line 5, column 4: holds more than 50000 values")
    yield row(f"{EXISTING} ~nouser/inventory.yaml", "there is no such user")
    yield row("--config {tmp}/typo.toml", "typo.toml, line 1: unknown key 'waiver'; did you mean waivers?")
    yield row("--config {tmp}/place.toml", "--waivers: {tmp}/nowhere.yaml: cannot be read")
    yield row("--config {tmp}/disrupt.toml", "--may-disrupt: is an option of --lab inventory")
    yield row("--claims --config {tmp}/empty.toml", "--config: has no effect beside --claims")
    yield row("--rehearse 20.10.24,28.5.2 --config {tmp}/empty.toml", "--config: has no effect beside --rehearse")


def swarmlab_rows():
    def row(command, phrase, **more):
        return Row(f"swarmlab {command}", phrase, **more)

    yield row("", "the following arguments are required: COMMAND")
    yield row("fly", "invalid choice: 'fly'")
    yield row("up --provider nonsense", "--provider: is an option of --lab vagrant; give that too")
    yield row("up --provider libvirt", "--provider: is an option of --lab vagrant; give that too")
    yield row("up --nodes 200000", "has 1 to 60 nodes, not 200000")
    yield row("up --nodes three", "invalid int value: 'three'")
    yield row(f"up --nodes {'9' * 5000}", "--nodes")
    yield row("up --engine bookworm,", "--engine bookworm,: has an empty part")
    yield row("up --engine ''", "--engine: is empty")
    yield row("up --name ''", "--name: is empty")
    yield row(f"up --name {'a' * 100_000}", "is not the name of a lab")
    yield row("up --name 'a b'", "'a b' is not the name of a lab")
    yield row("up", "SWARMLAB_PRIVATE=yes: write 1", environment={"SWARMLAB_PRIVATE": "yes"})
    yield row("up", "SWARMLAB_CACHE={tmp}/file: is a file", environment={"SWARMLAB_CACHE": "{tmp}/file"})
    yield row(
        "up", "SWARMLAB_CACHE ~nouser/cache: there is no such user", environment={"SWARMLAB_CACHE": "~nouser/cache"}
    )
    yield row("down --all --name x", "--name: has no effect beside --all")
    yield row("down", f"no engine answers at DOCKER_HOST={NOWHERE}")
    yield row("down -- x", "only shell takes a command after --")
    yield row("status", f"no engine answers at DOCKER_HOST={NOWHERE}")
    refused = "DOCKER_HOST=ssh://127.0.0.1:1: ssh cannot connect: "
    yield row("status", refused, environment={"DOCKER_HOST": "ssh://127.0.0.1:1"})
    tls = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "{tmp}"}
    yield row("up", "DOCKER_HOST=tcp://127.0.0.1:1: {tmp}/ca.pem cannot be read: No such file", environment=tls)
    for address in ("nonsense", "npipe:////./pipe/docker_engine", "tcp://", "tcp://[", "tcp://127.0.0.1:99999"):
        yield row("status", f"DOCKER_HOST={address}", environment={"DOCKER_HOST": address})
    context = {"DOCKER_HOST": "", "DOCKER_CONFIG": "{tmp}/docker"}
    prod = "the Docker context prod ({tmp}/docker/config.json), ssh://root@127.0.0.1:1"
    yield row("status", prod, environment=context)
    gone = {"DOCKER_HOST": "", "DOCKER_CONFIG": "{tmp}/gone"}
    yield row("up", "the Docker context gone ({tmp}/gone/config.json): there is no such context", environment=gone)
    yield row("up", "context x (DOCKER_CONTEXT): there is no such context", environment=gone | {"DOCKER_CONTEXT": "x"})
    broken = {"DOCKER_HOST": "", "DOCKER_CONFIG": "{tmp}/json"}
    yield row("status", "{tmp}/json/config.json: is not JSON", environment=broken)
    yield row("preflight --name nosuch", f"no engine answers at DOCKER_HOST={NOWHERE}")
    yield row("preflight --group x", "--group: is for an inventory of Ansible; give --inventory too")
    yield row("cleanup --group x", "--group: is for an inventory of Ansible; give --inventory too")
    yield row("rehearse --group x", "--group: is for an inventory of Ansible; give --like too")
    yield row("preflight --name x --inventory y", "--name: has no effect beside --inventory")
    yield row("preflight --waivers {tmp}/check.yaml", "check.yaml, line 1, column 11: no check 'limit'; did you mean")
    yield row("preflight --waivers {tmp}/none.yaml", "cannot be read: No such file")
    yield row("preflight --sarif {tmp}", "--sarif {tmp}: is a folder; name a file")
    yield row("preflight --junit ~nouser/x", "there is no such user")
    yield row("preflight --metrics {tmp}/file/x", "cannot be written: ", status=3)
    yield row("report --baseline x", "--baseline: is on the page of --markdown")
    yield row("compare x y --json --markdown", "not allowed with argument")
    yield row("preflight --list --json", "--json: has no effect beside --list")
    yield row("preflight --inventory {tmp}/file --skip host-memory=known", "no check 'host-memory'")
    yield row("preflight --skip disk=a --skip disk=b", "disk is skipped twice")
    yield row("cleanup --name x --inventory y", "--name: has no effect beside --inventory")
    yield row("cleanup --inventory ''", "--inventory: is empty")
    yield row("push-images ''", "HOST[:PORT][/PATH]: is empty")
    ports = [f"h.org:{port}" for port in ("0", "99999", "0x1")]
    for registry in ("https://host/x", "h.org/Path", "a b", "h.org/", "user", *ports, "x" * 5000):
        yield row(f"push-images {registry!r}", "is not HOST[:PORT][/PATH]")
    yield row("rehearse --path bookworm,", "--path bookworm,: has an empty part")
    yield row("rehearse --path 20.10.24,28.5.2 --to 28.5.2", "--path names all engines")
    yield row("rehearse --order managers,,workers", "--order managers,,workers: has an empty part")
    yield row("rehearse --from ''", "--from: is empty")
    yield row("rehearse --out ''", "--out: is empty")
    yield row("rehearse --like ~nouser/x", "there is no such user")
    yield row("rehearse --like {tmp}/none/likeness.json", "cannot be read: No such file")
    yield row("engines trixie", "invalid choice: 'trixie'")
    yield row("engines fetch", "engines fetch ENGINE…, such as 18.03.1")
    yield row("engines fetch ~nouser/x.tgz", "there is no such user")
    yield row(
        "engines fetch 18.03.1", "SWARMLAB_CACHE={tmp}/file: is a file", environment={"SWARMLAB_CACHE": "{tmp}/file"}
    )
    yield row("box --engine ''", "--engine: is empty")
    yield row("shell master", f"no engine answers at DOCKER_HOST={NOWHERE}")
    yield row("shell master --inventory {tmp}/none.yaml", "none.yaml: cannot be read: No such file")
    yield row("logs {tmp}/docker", "{tmp}/docker: is not empty; name a new folder")
    yield row("init", "the following arguments are required: --inventory")
    yield row("init --inventory {tmp}/nodes.yaml", "nodes.yaml lists its nodes already; name a manager: ssh://")
    yield row("doctor --config {tmp}/typo.toml", "typo.toml, line 1: unknown key 'waiver'; did you mean waivers?")
    yield row("test -- nosuch -n 2", "ERROR: file or directory not found: nosuch", status=4)
    yield row("test --config {tmp}/broken.toml", "broken.toml, line 1, column 10: is not TOML")


def ran(row, tmp_path):
    """Run the command of a row; return its exit status and the lines that it printed."""
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "tmp").mkdir()

    def filled(text):
        return text.replace("{tmp}", str(tmp_path))

    program, *words = shlex.split(filled(row.command))
    environment = {**os.environ, "DOCKER_HOST": NOWHERE, "TMPDIR": str(tmp_path / "tmp")}
    environment |= {"SWARMLAB_CACHE": str(tmp_path / "cache"), "DOCKER_CONFIG": str(tmp_path / "nowhere")}
    environment |= {name: filled(value) for name, value in row.environment.items()}
    if program == "pytest":
        words += (
            ["--reports", str(tmp_path / "reports")] if "--reports" not in words and "--claims" not in words else []
        )
    done = subprocess.run(
        [sys.executable, "-m", program, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return done.returncode, lines


@pytest.mark.parametrize("row", [*swarmlab_rows(), *pytest_rows()], ids=lambda row: row.command[:60])
def test_bad_input_is_one_line(row, tmp_path):
    before = os.times()
    status, lines = ran(row, tmp_path)
    after = os.times()
    # Seconds of the processor: those of a clock depend on what else the machine does.
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < row.seconds
    expected = 4 if row.command.startswith("pytest") else 2
    assert (status, len(lines)) == (row.status or expected, 1), lines
    assert row.phrase.replace("{tmp}", str(tmp_path)) in lines[0]
    assert len(lines[0]) < 500
    assert "Traceback" not in lines[0]
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "reports").exists()


def test_what_a_process_of_xdist_refuses_to_collect_is_told(tmp_path):
    status, lines = ran(Row("pytest tests/unit/test_lists.py -k 'a(b=1)' -n 1 -p no:cacheprovider", ""), tmp_path)
    assert (status, lines[-1]) == (4, "ERROR: Keyword expressions do not support call parameters.")


def test_every_option_of_the_suites_with_a_value_is_joined_with_it(of_pytest):
    assert sorted(joined.OPTIONS) == sorted(name for name, takes in of_pytest.items() if takes)
    assert sorted(_FLAGS) == sorted(name for name, takes in of_pytest.items() if not takes)


@pytest.fixture
def of_pytest():
    """Whether each option of the plugins takes a value, by its name."""
    from tools.documents.options import plugin_options

    groups = plugin_options().groups.values()
    actions = [action for group in groups for action in group._group_actions]
    return {action.option_strings[-1]: action.nargs != 0 for action in actions}


# In bounded time


@pytest.fixture
def server():
    """Return a function that starts an engine that answers as *act* makes it, and returns its address."""
    with contextlib.ExitStack() as opened:

        def _server(act):
            listening = opened.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        asking, _ = listening.accept()
                        opened.callback(asking.close)
                        threading.Thread(target=act, args=(asking,), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
            return f"tcp://127.0.0.1:{listening.getsockname()[1]}"

        yield _server


def _never(_):
    time.sleep(30)


def _a_byte_at_a_time(asking):
    with contextlib.suppress(OSError):
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n":
            asking.send(bytes([byte]))
            time.sleep(0.5)


@pytest.mark.parametrize("act", [_never, _a_byte_at_a_time])
def test_an_engine_that_accepts_and_does_not_answer_is_waited_for_in_words_and_not_for_long(server, act, monkeypatch):
    assert (outer._PATIENCE, outer._SOON) == (20, 3)
    monkeypatch.setattr(outer, "_PATIENCE", 3)
    monkeypatch.setattr(outer, "_SOON", 1)
    address = server(act)
    monkeypatch.setenv("DOCKER_HOST", address)
    lines = []
    begun = time.monotonic()
    with pytest.raises(UsageError, match=f"no engine answers at DOCKER_HOST={address}; mend or unset it"):
        outer.running(lines.append)
    assert time.monotonic() - begun < 10
    assert lines == [f"waiting for the engine at {address} to answer (at most 3 s)"]


@pytest.mark.parametrize(
    "answer",
    [b"", b"hello\n", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"],
)
def test_what_answers_as_no_engine_does_is_none(server, answer, monkeypatch):
    def act(asking):
        asking.recv(4096)
        asking.sendall(answer)
        asking.close()

    monkeypatch.setenv("DOCKER_HOST", server(act))
    with pytest.raises(UsageError, match="no engine answers at DOCKER_HOST="):
        outer.running()


# The engine that is named


def _context(folder, name, address, current=""):
    meta = folder / "contexts" / "meta" / name
    meta.mkdir(parents=True)
    about = {"Name": name, "Endpoints": {"docker": {"Host": address}}}
    (meta / "meta.json").write_text(json.dumps(about))
    (folder / "config.json").write_text(json.dumps({"currentContext": current} if current else {}))


def test_a_docker_context_names_the_engine_where_docker_host_does_not(tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert named_engine() is None
    _context(tmp_path, "rootless", "unix:///run/user/7/docker.sock")
    assert named_engine() is None
    (tmp_path / "config.json").write_text('{"currentContext": "rootless"}')
    assert named_engine().url == "unix:///run/user/7/docker.sock"
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert named_engine() is None
    monkeypatch.setenv("DOCKER_CONTEXT", "rootless")
    assert named_engine().by.startswith("the Docker context rootless (DOCKER_CONTEXT)")
    monkeypatch.setenv("DOCKER_HOST", "unix:///own.sock")
    assert named_engine().url == "unix:///own.sock"


def test_the_private_engine_that_this_process_named_is_not_missed_once_it_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(outer, "_socket", lambda: tmp_path / "docker.sock")
    monkeypatch.setattr(outer, "_DEFAULT", f"unix://{tmp_path}/none.sock")
    monkeypatch.delenv("SWARMLAB_PRIVATE", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert outer.running() is None
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    with pytest.raises(UsageError, match="no engine answers at DOCKER_HOST"):
        outer.running()


# Who holds a lock


def test_who_waits_says_for_which_process_and_since_when(tmp_path, monkeypatch):
    hold = "import sys, time\nfrom pathlib import Path\nfrom swarmlab.host import alone\n"
    hold += "with alone('images', folder=Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    command = [sys.executable, "-c", hold, str(tmp_path), "a b"]
    lines = []
    monkeypatch.setattr(host, "_REMINDER", 0.5)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout.readline() == "held\n"

        def note(line):
            lines.append(line)
            if len(lines) == 2:
                holder.stdin.close()

        with host.alone("images", note, folder=tmp_path):
            pass
    assert lines[0].startswith(f"waiting for process {holder.pid} (")
    assert "'a b'; since " in lines[0]
    assert lines[0].endswith(") to end its work on images")
    assert lines[1].endswith(" s so far")


def test_a_lock_that_nobody_signed_is_another_process_s(tmp_path):
    (tmp_path / "x.lock").write_text("{")
    with (tmp_path / "x.lock").open() as lock:
        assert host._holder(lock) == "another process"


def test_a_full_disk_ends_nothing_for_who_holds_a_lock(tmp_path):
    # No byte can be written to a file, as on a disk that is full.
    full = "import resource, sys\nfrom pathlib import Path\nfrom swarmlab.host import alone\n"
    full += "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    full += "with alone('images', folder=Path(sys.argv[1])):\n    print('held')\nprint('done')\n"
    done = subprocess.run(
        [sys.executable, "-c", full, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("held\ndone\n", "")


# Terminals


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(
    ("command", "environment", "status", "phrase"),
    [
        ("swarmlab up --engine ü", ASCII, 2, "no engine '\\xfc'"),
        ("swarmlab rehearse --help", ASCII, 0, "A,B[,C\\u2026]"),
        ("pytest --claims", ASCII, 0, "All: "),
        ("pytest --profiles", ASCII, 0, "every claim"),
        ("pytest suites/ --engine ü", ASCII, 4, "no engine '\\xfc'"),
        ("pytest tests/unit/test_files.py -q -k parser", ASCII, 0, "1 passed"),
        ("swarmlab status", {"HOME": "", "DOCKER_HOST": NOWHERE}, 2, "no engine answers"),
        ("swarmlab status", {"TMPDIR": "/nowhere", "DOCKER_HOST": NOWHERE}, 2, "no engine answers"),
    ],
)
def test_a_poor_environment_ends_nothing_with_a_traceback(command, environment, status, phrase):
    program, *words = command.split()
    done = subprocess.run(
        [sys.executable, "-m", program, *words],
        cwd=ROOT,
        capture_output=True,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )
    text = (done.stdout + done.stderr).decode("ascii" if environment is ASCII else "utf-8")
    assert done.returncode == status, text
    assert phrase in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("pytest --claims", 141),
        ("pytest --profiles", 141),
        ("swarmlab preflight --list", 141),
        ("swarmlab engines", 141),
        ("swarmlab --help", 141),
        ("pytest tests/unit/test_files.py -q -k parser", 0),  # a run goes on, for its results
    ],
)
def test_a_reader_that_closes_the_output_ends_nothing_with_a_traceback(command, status):
    reading, writing = os.pipe()
    os.close(reading)
    done = into(writing, command)
    os.close(writing)
    assert (done.returncode, done.stderr) == (status, "")


def into(output, command):
    """Run a command that prints into *output*, buffered as a user has it."""
    program, *words = command.split()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    line = [sys.executable, "-m", program, *words]
    return subprocess.run(line, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("command", ["swarmlab --help", "swarmlab explain 7.2.4/rm", "pytest --claims"])
def test_a_full_disk_for_what_is_printed_is_told_in_one_line(command):
    with Path("/dev/full").open("w") as full:
        done = into(full, command)
    begin = "swarmlab" if command.startswith("swarmlab") else "ERROR"
    assert done.stderr == f"{begin}: standard output cannot be written: No space left on device\n"
    assert done.returncode == 3


# Options and their values


def test_a_path_that_is_an_option_s_value_is_no_path_of_tests(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit('of another project')\n")
    file = tmp_path / "inventory.yaml"
    file.write_text("nodes:\n- address: 192.0.2.1\n")
    options = ["--lab", "inventory", "--inventory", str(file)]
    listing = ["--collect-only", "-q"]
    places = [
        (ROOT, [*options, "suites/ch1_hosts"], {}),
        (tmp_path, [str(ROOT / "suites" / "ch1_hosts"), "--lab", "inventory", "--inventory", "inventory.yaml"], {}),
        (tmp_path, [str(ROOT / "suites" / "ch1_hosts")], {"PYTEST_ADDOPTS": shlex.join(options)}),
    ]
    for folder, words, more in places:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *listing, *words],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, **more},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "suites/ch1_hosts/test_machines.py::" in done.stdout


def test_options_are_joined_with_their_values():
    assert joined.joined(["--lab", "inventory", "suites/"]) == ["--lab=inventory", "suites/"]
    assert joined.joined(["-k", "--lab", "x", "--", "--lab", "y"]) == ["-k", "--lab=x", "--", "--lab", "y"]
    assert joined.joined(["--reports"]) == ["--reports"]
    assert joined.joined(["--again", "-k", "x"]) == ["--again", "-k", "x"]
    assert joined.joined(["suites/", "--again", "reports"]) == ["suites/", "--again=reports"]
    assert joined.joined(["--again"]) == ["--again"]


# Downloads


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError('<x>: Failed to establish "
            "a new connection: [Errno -3] Temporary failure in name resolution')': /simple/a/\n"
            "ERROR: No matching distribution found for a==1",
            "the index is not reached (Temporary failure in name resolution)",
        ),
        (
            "W: Failed to fetch http://deb.debian.org/debian/x/InRelease  Temporary failure resolving 'deb.debian'"
            "\nE: Unable to locate package docker.io",
            "deb.debian.org is not reached (Temporary failure resolving)",
        ),
        (
            "ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy Authentication'))",
            "the index is not reached (Cannot connect to proxy)",
        ),
        (
            'Get "https://r.example.org/v2/": dial tcp: lookup r.example.org on 127.0.0.53:53: no such host',
            "r.example.org is not reached (no such host)",
        ),
        (
            'Get "https://r.example.org/": lookup r.example.org on 10.0.0.1:53: connect: network is unreachable',
            "r.example.org is not reached (network is unreachable)",
        ),
        ("http: server gave HTTP response to HTTPS client", "the index is not reached (server gave HTTP response"),
    ],
)
def test_a_source_that_is_not_reached_is_told_from_a_name_that_it_lacks(output, told):
    assert unreached(output, "the index").startswith(told)
    assert "check the network, the proxy (HTTPS_PROXY) or the mirror" in unreached(output)
    assert why(output, "E:", source="the index").startswith(told)


def test_a_name_that_a_source_lacks_is_told_as_it_is():
    said = "Reading package lists...\nE: Unable to locate package nosuch\n"
    assert unreached(said) == ""
    assert why(said, "E:") == "E: Unable to locate package nosuch"
    assert why("") == "it printed nothing"
