"""What the suite reads for the CIS benchmark: environments, and the age of an unlock key."""

import datetime
from types import SimpleNamespace

import pytest

from suites.support import key_age
from suites.support.key_age import changed_between
from suites.support.secret_words import revealing


@pytest.mark.parametrize(
    "entry",
    [
        "DB_PASSWORD=open",
        "MYSQL_ROOT_PASSWORD=12345",
        "PGPASSWORD=open",
        "api_key=abc",
        "GITHUB_TOKEN_2=abc",
        "AWS_SECRET_ACCESS_KEY=abc",
        "SMTP_PASS=open",
        "DATABASE_URL=postgres://me:open@db/site",
        "CERT=-----BEGIN EC PRIVATE KEY-----",
        "X=AKIAABCDEFGHIJKLMNOP",
        "MYSQL_PWD=open",
        "SECRET_KEY_BASE=abc",
        "RAILS_MASTER_KEY=abc",
        "jwtSecret=abc",
        "DB_PASSWORD=/Zx9kQ",
        "X=ghp_" + "a" * 36,
    ],
)
def test_what_looks_like_a_secret_is_told_by_its_name(entry):
    assert revealing(["A=1", entry]) == [entry.partition("=")[0]]


@pytest.mark.parametrize(
    "entry",
    [
        "DB_PASSWORD=",
        "DB_PASSWORD",
        "DB_PASSWORD_FILE=/run/secrets/password",
        "DB_PASSWORD=/run/secrets/password",
        "ALLOW_EMPTY_PASSWORD=yes",
        "TOKEN_TTL=3600",
        "PASSWORD_MIN_LENGTH=8",
        "PWD=/srv",
        "OLDPWD=/srv/site",
        "foreignKeys=2",
        "COMPASS=north",
        "MONKEY=1",
        "DATABASE_URL=postgres://db/site",
        "NAME={{.Service.Name}}",
    ],
)
def test_what_looks_like_none_is_not_told(entry):
    assert revealing([entry]) == []


def day(number):
    return f"2026-01-{number:02}T00:00:00.5Z"


class Cluster:
    """Managers by name."""

    def __init__(self, names, changes):
        self.managers = list(names)
        self.manager = SimpleNamespace(ask=self.ask)
        self.changes = changes

    def ask(self, _, path):
        if path == "/swarm":
            return {"CreatedAt": day(1)}
        changes = self.changes if path == "/configs" else []
        return [{"Version": {"Index": index}, "UpdatedAt": day(at)} for index, at in changes]


def between(monkeypatch, versions, changes, issued):
    """Return what is told where managers have these versions of the key, and certificates of these days."""

    def certificate_of(name):
        at = datetime.datetime(2026, 1, issued[name], tzinfo=datetime.timezone.utc)
        return SimpleNamespace(not_valid_before_utc=at - datetime.timedelta(hours=1))

    monkeypatch.setattr(key_age, "key_version", versions.get)
    monkeypatch.setattr(key_age.pki, "certificate_of", certificate_of)
    return [moment.at for moment in changed_between(Cluster(versions, changes))]


def test_changes_before_and_after_the_key_tell_when_it_was_changed(monkeypatch):
    found = between(monkeypatch, {"a": 50, "b": 50}, [(10, 3), (40, 8), (60, 11), (90, 20)], {"a": 2, "b": 2})
    assert found == [day(8), day(11)]


def test_a_manager_that_came_later_does_not_make_the_key_younger(monkeypatch):
    changes = [(10, 3), (40, 8), (60, 11)]
    assert between(monkeypatch, {"a": 50}, changes, {"a": 2}) == [day(1), day(11)]
    assert between(monkeypatch, {"a": 50, "b": 70}, changes, {"a": 2, "b": 12}) == [day(1), day(11)]
    assert between(monkeypatch, {"a": 50, "b": 50}, changes, {"a": 9, "b": 9}) == [day(1), day(11)]


def test_certificates_that_were_renewed_do_not_make_the_key_younger(monkeypatch):
    changes = [(10, 3), (40, 8), (60, 11)]
    assert between(monkeypatch, {"a": 50, "b": 50}, changes, {"a": 10, "b": 10}) == [day(1), day(11)]


def test_a_key_from_init_is_as_old_as_the_swarm(monkeypatch):
    assert between(monkeypatch, {"a": 0, "b": 0}, [(10, 3), (40, 8)], {"a": 1, "b": 1}) == [day(1), day(3)]


def test_a_key_that_nothing_followed_may_be_new(monkeypatch):
    _, last = between(monkeypatch, {"a": 50, "b": 50}, [(10, 3)], {"a": 1, "b": 1})
    assert datetime.datetime.fromisoformat(last) > datetime.datetime(2026, 6, 1, tzinfo=datetime.timezone.utc)


def test_the_age_of_a_moment_is_in_days():
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=3)
    assert key_age.Moment(then.isoformat()).age == pytest.approx(3, abs=0.01)
