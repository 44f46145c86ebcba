"""What records hold of a swarm on which others have work: names and shape, never what others wrote."""

import base64
import json

import pytest

from swarmlab import evidence
from swarmlab.cluster.discretion import Discretion
from swarmlab.cluster.prints import may_print
from swarmlab.cluster.quotes import log, said, settings
from swarmlab.evidence import foreign

#: A value of others, and one that a record tells of the suite's own.
THEIRS, OWN = "blue-horse-77", "green-otter-12"
ID = "ab12" * 6 + "c"


@pytest.fixture(autouse=True)
def values(monkeypatch):
    """No test knows the values of another."""
    known = foreign.Values()
    for module in (foreign, evidence):
        monkeypatch.setattr(module, "hide_foreign", known.hide)
    for name in ("swarmlab.cluster.discretion", "swarmlab.cluster.quotes"):
        monkeypatch.setattr(f"{name}.hide_foreign", known.hide)
    monkeypatch.setattr("swarmlab.cluster.discretion.show_foreign", known.show)
    return known


def service(name, value):
    return {
        "ID": ID,
        "Spec": {
            "Name": name,
            "Labels": {"owner": value, "Name": value, "com.docker.stack.namespace": "shop"},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "nginx:1",
                    "Env": [f"DB={value}", "PIN=4711"],
                    "Args": ["--key", value],
                    "Healthcheck": {"Test": ["CMD", value]},
                    "Mounts": [{"Type": "volume", "VolumeOptions": {"DriverConfig": {"Options": {"o": value}}}}],
                },
                "LogDriver": {"Name": "splunk", "Options": {"Name": value, "token": value}},
                "Placement": {"Constraints": [f"node.labels.zone == {value}", "node.hostname==slave01"]},
            },
            "Mode": {"Replicated": {"Replicas": 2}},
        },
        "Endpoint": {"Ports": [{"Protocol": "tcp", "PublishedPort": 80}]},
        "UpdateStatus": {"State": "paused", "Message": f'update paused: exec: "{value}": not found'},
    }


def call(thing, path="/v1.41/services"):
    return Discretion().call("GET", path, "", json.dumps(thing))[1]


def test_of_others_a_record_has_names_and_shape():
    told = call([service("shop_web", THEIRS)])
    assert THEIRS not in told
    assert "4711" not in told
    for part in ("shop_web", "nginx:1", "DB=‹13 characters›", '"owner"', "splunk", "node.hostname==slave01", "paused"):
        assert part in told
    assert json.loads(told)[0]["Spec"]["TaskTemplate"]["Placement"]["Constraints"][0] == (
        "node.labels.zone ==‹14 characters›"
    )


def test_a_field_that_is_not_known_is_left_out():
    strange = service("shop_web", "-")
    strange["Spec"]["TaskTemplate"]["ContainerSpec"]["NewField"] = {"Name": [THEIRS], "Deep": {"ID": THEIRS}}
    assert THEIRS not in call([strange])


@pytest.mark.parametrize("name", ["swc-web-0a1b2c", "swc-stack-0a1b2c_web"])
def test_what_is_the_suites_is_told(name):
    assert OWN in call([service(name, OWN)])


def test_a_name_that_only_begins_as_the_suites_is_of_others():
    assert THEIRS not in call([service("swc-mirror", THEIRS)])


def test_tasks_are_of_the_owner_of_their_service():
    discretion = Discretion()
    made = json.dumps({"Name": "swc-web-0a1b2c", "Labels": {"swarm-conformance": ""}})
    discretion.call("POST", "/v1.41/services/create", made, json.dumps({"ID": ID}))
    task = {"ID": "t1", "ServiceID": ID, "Spec": {"ContainerSpec": {"Env": [f"A={OWN}"]}}}
    others = {"ID": "t2", "ServiceID": "other", "Spec": {"ContainerSpec": {"Env": [f"A={THEIRS}"]}}}
    told = discretion.call("GET", "/v1.41/tasks", "", json.dumps([task, others]))[1]
    assert OWN in told
    assert THEIRS not in told


@pytest.mark.parametrize(
    ("path", "thing"),
    [
        ("/configs", [{"ID": "c", "Spec": {"Name": "x", "Data": base64.b64encode(THEIRS.encode()).decode()}}]),
        (
            "/nodes",
            [{"ID": "n", "Spec": {"Labels": {"zone": THEIRS}}, "Description": {"Engine": {"Labels": {"a": THEIRS}}}}],
        ),
        ("/networks", [{"Id": "n", "Name": "x", "Options": {"a": THEIRS}, "IPAM": {"Options": {"a": THEIRS}}}]),
        ("/volumes", {"Volumes": [{"Name": "x", "Options": {"o": THEIRS}, "Labels": {"a": THEIRS}}]}),
        ("/containers/json", [{"Id": "x", "Names": ["/a"], "Command": THEIRS, "Labels": {"a": THEIRS}, "Ports": []}]),
        (
            "/containers/x/json",
            {"Id": "x", "Name": "/a", "Config": {"Env": [THEIRS], "Cmd": [THEIRS]}, "Args": [THEIRS]},
        ),
        ("/images/json", [{"Id": "x", "RepoTags": ["a:1"], "Labels": {"a": THEIRS}}]),
        ("/info", {"Name": "a", "Swarm": {"Cluster": {"Spec": {"Labels": {"a": THEIRS}}}}}),
        ("/swarm", {"ID": "x", "Spec": {"TaskDefaults": {"LogDriver": {"Name": "a", "Options": {"a": THEIRS}}}}}),
        ("/system/df", {"Containers": [{"Command": THEIRS}], "BuildCache": [{"ID": "x", "Description": THEIRS}]}),
        ("/events", {"Type": "container", "Actor": {"Attributes": {"name": THEIRS}}}),
    ],
)
def test_no_answer_tells_a_value(path, thing, values):
    told = call(thing, f"/v1.41{path}")
    assert THEIRS not in told
    assert base64.b64encode(THEIRS.encode()).decode() not in told
    assert values.masked(f"it says {THEIRS}.") == f"it says {foreign.MARKER}."


@pytest.mark.parametrize("answer", [f"log of a container: {THEIRS}", f'"{THEIRS}"', f'["{THEIRS}"]'])
def test_an_answer_that_is_no_object_is_told_by_its_length(answer):
    assert THEIRS not in Discretion().call("GET", "/v1.41/containers/x/logs", "", answer)[1]


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(
            {"Spec": [THEIRS], "Labels": [THEIRS], "Names": 7, "Status": THEIRS, "Config": {"Labels": [THEIRS]}}
        ),
        "[" * 5000 + json.dumps(THEIRS) + "]" * 5000,
        json.dumps([[{"Name": {"Name": THEIRS}, "Args": [THEIRS]}], None, 7, {"": {"": THEIRS}}]),
    ],
)
def test_an_answer_of_an_unexpected_form_ends_nothing_and_tells_nothing(answer):
    told = Discretion().call("GET", "/v1.41/services", "", answer)[1]
    assert THEIRS not in told.replace(f'"Status": "{THEIRS}"', "")


def test_labels_that_a_node_keeps_are_not_told_by_what_is_sent():
    spec = {"Role": "manager", "Labels": {"zone": THEIRS, "swc-place-0a1b2c": OWN}}
    sent, _ = Discretion().call("POST", "/v1.41/nodes/x/update?version=4", json.dumps(spec), "")
    assert THEIRS not in sent
    assert OWN in sent


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (f'exec: "{THEIRS}": executable file not found in $PATH', "executable file not found in $PATH"),
        (f"error while mounting volume: o=addr=1.2.3.4,password={THEIRS}", "error while mounting volume"),
        (f"Get https://user:{THEIRS}@registry.example/v2/{THEIRS}: EOF", "registry.example"),
        (f"unknown log opt '{THEIRS}' for json-file log driver", "for json-file log driver"),
        (f"rpc error: code = 3 desc = {{{THEIRS}}}", "rpc error: code = 3"),
        (f"bind source path does not exist: /srv/{THEIRS}", "bind source path does not exist: /‹17 characters›"),
        ("mount /var/lib/docker/volumes/x/_data: no such device", "/var/lib/docker/volumes/x/_data: no such device"),
        ("network swc-net-0a1b2c not found", "network swc-net-0a1b2c not found"),
    ],
)
def test_a_message_keeps_what_it_does_not_quote(message, kept):
    assert THEIRS not in said(message)
    assert kept in said(message)


TIME = 'time="2026-01-01T00:00:00.000000000Z"'


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (
            f'{TIME} level=error msg="fatal task error" error="exec: \\"{THEIRS}\\": not found" task.id={ID}',
            "not found",
        ),
        (f'{TIME} level=debug msg="form data: {{\\"Env\\":[\\"{THEIRS}\\"]}}"', "level=debug"),
        (f'{TIME} level=warning msg="it failed" spec="{THEIRS}"', "it failed"),
        (f"Jan  1 00:00:00 host dockerd[12]: {TIME} level=info msg=\"a 'b {THEIRS}'\"", "level=info"),
        (f"Jan  1 00:00:00 host 3f2a1b0c9d8e[12]: {THEIRS}", "‹"),
        (f"{THEIRS}", "‹"),
    ],
)
def test_a_log_tells_what_the_engine_says_and_nothing_that_containers_print(line, kept):
    assert THEIRS not in log(line)
    assert kept in log(line)


def test_lines_of_a_log_keep_their_order():
    lines = [f'{TIME} level=info msg="one"', THEIRS, THEIRS, f'{TIME} level=info msg="two"']
    assert log("\n".join(lines)).splitlines() == [lines[0], "‹2 lines, 27 characters›", lines[3]]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            json.dumps({"labels": [f"a={THEIRS}"], "log-opts": {"x": THEIRS}, "hosts": ["tcp://0.0.0.0:1"]}),
            "tcp://0.0.0.0:1",
        ),
        (f"/usr/bin/dockerd\n--label\na={THEIRS}\n-H\nfd://\n--log-opt=token={THEIRS}", "-H\nfd://"),
        (f'{{"labels": ["{THEIRS}"],}}', "‹"),
        (THEIRS, "‹"),
    ],
)
def test_settings_of_an_engine_keep_its_addresses(text, kept):
    assert THEIRS not in settings(text)
    assert kept in settings(text)


@pytest.mark.parametrize(
    "command",
    [
        "docker service ls",
        "docker node ls",
        "docker exec swc-box-0a1b2c sh -c 'env; cat /proc/1/environ'",
        "docker inspect swc-box-0a1b2c",
        "docker run --rm --label swarm-conformance web:1 env",
        "cat /var/tmp/swc-folder-0a1b2c/file",
        "cd /var/tmp/swc-folder-0a1b2c && cat file",
        "ip -4 -oneline address show",
        "ss -lnt sport = :80 | wc -l",
        '. /etc/os-release && echo "$PRETTY_NAME"',
        "for card in /sys/class/net/*/device; do basename $(dirname $card); done",
        "nsenter --net=/run/docker/netns/ingress_sbox ipvsadm -Ln",
        "unshare -n ipvsadm -A -t 127.0.0.1:1 -s rr || test -e /proc/net/ip_vs",
    ],
)
def test_a_command_that_tells_nothing_of_others_is_told(command):
    assert may_print(command, lambda name: name.startswith("swc-") and name.endswith("0a1b2c"))


@pytest.mark.parametrize(
    "command",
    [
        "docker ps",
        "docker ps --no-trunc | grep web",
        "docker info",
        "docker inspect $(docker ps -q)",
        "docker service inspect shop",
        "docker service ls --format '{{.Labels}}'",
        "docker service ps shop",
        "docker inspect swc-box-0a1b2c; docker inspect shop",
        "docker events --since 1",
        "echo '{ (docker ps) >out; }' > /var/tmp/swc-folder-0a1b2c/in; cat /var/tmp/swc-folder-0a1b2c/out",
        "ps aux",
        "su - user -c 'ps aux'",
        "tr '\\0' ' ' < /proc/$(pidof dockerd)/cmdline",
        "cat /proc/12/environ",
        "cat /etc/docker/daemon.json",
        "cat /root/.docker/config.json",
        "ls /srv",
        "systemctl show docker",
        "python3 -c 'print(1)'",
        "echo 'unfinished",
    ],
)
def test_a_command_that_may_tell_of_others_is_told_by_the_length_of_its_output(command):
    assert not may_print(command, lambda name: name.startswith("swc-") and name.endswith("0a1b2c"))


def test_rules_are_told_without_comments():
    printed = '-A INPUT -p tcp -m comment --comment "' + THEIRS + '" -j ACCEPT\n-A INPUT -j DROP'
    told = Discretion().printed("iptables-save -c", printed)
    assert THEIRS not in told
    assert "-A INPUT -j DROP" in told


@pytest.mark.parametrize(
    "text",
    [
        "exec: {}: not found",
        "it is {}…",
        json.dumps({"a": "{}"}),
        repr(["{}"]),
    ],
)
def test_a_value_is_taken_out_of_text_that_quotes_it(values, text):
    value = 'correct "horse" battery'
    values.hide([value])
    for form in (value, json.dumps(value)[1:-1], base64.b64encode(value.encode()).decode(), value.encode().hex()):
        assert "battery" not in values.masked(text.replace("{}", form))
        assert foreign.MARKER in values.masked(text.replace("{}", form))


def test_a_value_that_is_cut_off_is_taken_out(values):
    values.hide(["sh -c 'curl -H Token:abc'"])
    assert values.masked('"sh -c \'curl -H T…"   2 minutes ago') == f'"{foreign.MARKER}…"   2 minutes ago'


@pytest.mark.parametrize("text", ["[{'Env': ['DB=blue-h...", "...-horse-77']}]", "… horse-77", "...rse-77"])
def test_a_value_that_was_cut_within_is_taken_out(values, text):
    values.hide(["blue-horse-77"])
    left = values.masked(text)
    assert "blue" not in left
    assert ("rse-77" not in left) == (text != "… horse-77")


@pytest.mark.parametrize("value", ["running", "80", "shop_web", "1.2.3"])
def test_words_of_engines_and_names_stay(values, value):
    values.show(["shop_web"])
    values.hide([value])
    assert values.masked(f"it is {value} now") == f"it is {value} now"


def test_a_short_value_stays_inside_a_word(values):
    values.hide(["secure", "blue-horse-77"])
    assert values.masked("insecurely secure, blue-horse-777") == f"insecurely {foreign.MARKER}, {foreign.MARKER}7"
