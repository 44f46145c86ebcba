import base64
import json
import threading

import pytest

from swarmlab import evidence
from swarmlab.evidence import diagnose, on_failure, record, recording, redact, scrub

SECRET = "7p73s1dx5in4tatdymyhg9hu2"
TOKEN = f"SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-{SECRET}"
UNLOCK = "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8"
PEM = "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----"
PEM64 = base64.b64encode(PEM.encode()).decode()
CERTIFICATE = PEM.replace("EC PRIVATE KEY", "CERTIFICATE")

SECRETS = {
    f"docker swarm join --token {TOKEN} 10.0.0.1:2377": "docker swarm join --token [redacted join token] 10.0.0.1:2377",
    json.dumps({"JoinTokens": {"Worker": TOKEN}}): '{"JoinTokens": {"Worker": "[redacted join token]"}}',
    "SWMTKN-1-cut": "[redacted join token]",
    f"key {UNLOCK}": "key [redacted unlock key]",
    '{"UnlockKey":"hunter2"}': '{"UnlockKey":"[redacted unlock key]"}',
    f"a\n{PEM}\nb": "a\n[redacted private key]\nb",
    PEM[:40]: "[redacted private key]",
    f"{PEM64} b": "[redacted private key] b",
    json.dumps({"CAKey": PEM, "x": 1}): '{"CAKey": "[redacted private key]", "x": 1}',
    '{"SigningCAKey": "hun\\"ter2"}': '{"SigningCAKey": "[redacted private key]"}',
    "aead rfc4106(gcm(aes)) 0xabcdef01 64": "aead rfc4106(gcm(aes)) [redacted private key] 64",
    '{"Name": "s", "Data": "aHVudGVyMg=="}': '{"Name": "s", "Data": "[redacted payload]"}',
    'b\'{"Data": "aHVudGVyMg=="}\'': 'b\'{"Data": "[redacted payload]"}\'',
    '{"x":"{\\"Data\\":\\"aHVudGVyMg==\\",\\"y\\":1}"}': '{"x":"{\\"Data\\":\\"[redacted payload]\\",\\"y\\":1}"}',
    "X-Registry-Auth: aHVudGVyMg==": "X-Registry-Auth: [redacted registry credentials]",
    "{'X-Registry-Auth': b'aHVudGVyMg=='}": "{'X-Registry-Auth': b'[redacted registry credentials]'}",
    "Authorization: Bearer hunter2": "Authorization: Bearer [redacted registry credentials]",
    '{"auth": "aHVudGVyMg=="}': '{"auth": "[redacted registry credentials]"}',
    "docker run -e MYSQL_ROOT_PASSWORD=hunter2 db": "docker run -e MYSQL_ROOT_PASSWORD=[redacted password] db",
    '"Env": ["PASSWORD=hunter2 and more", "A=b"]': '"Env": ["PASSWORD=[redacted password]", "A=b"]',
    "-e 'PASSWORD=hunter2 and more' db": "-e 'PASSWORD=[redacted password]' db",
    "  MYSQL_ROOT_PASSWORD: more hunter2": "  MYSQL_ROOT_PASSWORD: [redacted password]",
    "{'password': 'hunter2', 'x': 1}": "{'password': '[redacted password]', 'x': 1}",
    '{"password": 123456, "x": 1}': '{"password": [redacted password], "x": 1}',
    "login --password hunter2 host": "login --password [redacted password] host",
    "login --password='hunter2 and more' host": "login --password='[redacted password]' host",
    "['--password', 'hunter2']": "['--password', '[redacted password]']",
    "docker login -u me -p hunter2 host": "docker login -u me -p [redacted password] host",
    "mysql -uroot -phunter2 -e x": "mysql -uroot -p[redacted password] -e x",
    "https://me:hunter2@host/": "https://me:[redacted password]@host/",
}


@pytest.mark.parametrize(("text", "redacted"), SECRETS.items())
def test_secrets_go_and_their_surroundings_stay(text, redacted):
    assert redact(text) == redacted
    assert redact(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        CERTIFICATE,
        base64.b64encode(CERTIFICATE.encode()).decode(),
        '{"GraphDriver": {"Data": {"MergedDir": "/x"}}}',
        '{"Data": null, "UnlockKey": "", "Password": ""}',
        "docker login --password-stdin host",
        "MYSQL_ROOT_PASSWORD_FILE=/run/secrets/db",
        "ssh -o PasswordAuthentication=no",
        "Permission denied (publickey,password).",
        "PWD=/root",
        "http://10.0.0.1:8888/x@y",
        "worker_token = cluster.tokens()",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_the_secret_of_a_token_that_was_seen_goes_also_where_it_stands_alone():
    redact(TOKEN)
    assert redact(f"assert '{SECRET}' != 'x'") == "assert '[redacted join token]' != 'x'"


def test_long_texts_are_redacted_in_reasonable_time():
    for piece in ('{"a": "b", "password": "x"} --x y\n', "\\", '"', "-", "A", "mysql "):
        redact(piece * (20_000 // len(piece)))


def test_scrub_reaches_every_text_inside():
    class Shown:
        def __init__(self):
            self.lines = [f"token {TOKEN}", ("name", TOKEN)]
            self.args = [("password", "'hunter2'"), ("count", "3")]
            self.inner = {"words": f"x {UNLOCK}", "password": "hunter2"}

    shown = scrub(Shown())
    assert shown.lines == ["token [redacted join token]", ("name", "[redacted join token]")]
    assert shown.args == [("password", "[redacted password]"), ("count", "3")]
    assert shown.inner == {"words": "x [redacted unlock key]", "password": "[redacted password]"}


def test_a_journal_takes_what_is_recorded_while_it_is_open():
    record("master", "docker node ls", "nowhere")
    with recording() as outer:
        record("master", "docker node ls", "first")
        with recording() as inner:
            record("master", "docker node ls", "second")
        record("slave01", "GET /services", "third\nline")
    assert "second" in inner.text()
    assert "nowhere" not in outer.text() + inner.text()
    assert "second" not in outer.text()
    assert "master  docker node ls\n    first\n" in outer.text()
    assert "slave01  GET /services\n    third\n    line" in outer.text()


def test_a_journal_never_holds_a_secret():
    with recording() as opened:
        record("master", f"docker swarm join --token {TOKEN}", f"bad token {TOKEN}")
        opened.attach("log", f"token {TOKEN}")
    assert SECRET not in opened.text() + opened.attachments["log"]
    assert SECRET not in repr(vars(opened))


def test_long_answers_are_cut_in_the_middle_and_say_so():
    with recording() as opened:
        record("master", "cat", "begin" + "x" * 50_000 + "end")
    text = opened.text()
    assert len(text) < evidence.ANSWER_LIMIT + 200
    assert "begin" in text
    assert "end" in text
    assert "40008 characters left out" in text


def test_a_journal_keeps_the_first_and_the_last_entries():
    with recording() as opened:
        for number in range(evidence.FIRST_ENTRIES + evidence.LAST_ENTRIES + 7):
            record("master", f"question {number}.", "")
    text = opened.text()
    assert "question 0." in text
    assert f"question {evidence.FIRST_ENTRIES - 1}." in text
    assert f"question {evidence.FIRST_ENTRIES}." not in text
    assert f"question {evidence.FIRST_ENTRIES + evidence.LAST_ENTRIES + 6}." in text
    assert "(7 entries left out here)" in text


def test_threads_share_the_journal():
    with recording() as opened:
        threads = [
            threading.Thread(target=lambda: [record("suite", "GET /", "200") for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert opened.text().count("GET /") == 200


def test_what_cannot_be_collected_is_noted_and_the_rest_collected():
    def fails(_):
        raise OSError("no route to slave01")

    def works(into):
        record("slave02", "iptables-save", "rules")
        into.attach("firewall of slave02", "rules")

    on_failure.extend([fails, works])
    try:
        with recording() as opened:
            diagnose(opened)
    finally:
        on_failure.clear()
    assert "could not be collected: OSError: no route to slave01" in opened.text()
    assert opened.attachments == {"firewall of slave02": "rules"}
    assert "iptables-save" not in opened.text()


def test_pictures_are_kept_redacted_each_under_a_name_of_its_own():
    with recording() as opened:
        evidence.picture("requests", f"<svg>{TOKEN}</svg>")
        evidence.picture("requests", "<svg/>")
    assert opened.pictures == {"requests": "<svg>[redacted join token]</svg>", "requests (2)": "<svg/>"}
    evidence.picture("requests", "<svg/>")  # without a journal, nowhere


def test_a_picture_that_is_too_large_is_left_out_and_said_so():
    with recording() as opened:
        evidence.picture("requests", "x" * (evidence.PICTURE_LIMIT + 1))
    assert not opened.pictures
    assert "left out" in opened.text()
