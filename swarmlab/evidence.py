"""Evidence: what a verdict was judged from. The one place where it is written, and where secrets are taken out."""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

#: Characters kept of one answer, and of one attachment.
ANSWER_LIMIT = 10_000
ATTACHMENT_LIMIT = 400_000
#: Characters that a picture may have; a larger one is left out, as part of one shows nothing.
PICTURE_LIMIT = 150_000
#: Entries kept from the beginning of a journal, and from its end: a long poll leaves out its middle.
FIRST_ENTRIES = 200
LAST_ENTRIES = 400


# Redaction

# A value is in quotes, or goes on to the next blank or quote. Quotes may be escaped, as in JSON inside of JSON.
# What is redacted already is no value, so that redacting again changes nothing.
_QUOTE = r"""\\{0,7}["']"""
_NEW = rf"""(?!{_QUOTE}?\[redacted\ )"""
_QUOTED = rf"""(?P<quote>{_QUOTE})(?P<quoted>.*?)(?:(?<!\\)(?P=quote)|$)"""
_VALUE = rf"""{_NEW}(?:{_QUOTED}|(?P<bare>(?:(?!{_QUOTE})\S)+))"""
_JSON_VALUE = rf"""{_NEW}(?:{_QUOTED}|(?P<bare>[^\s,"'}}\]]+))"""
_PASSWORDS = ("password", "passwd", "passphrase", "identitytoken", "registrytoken")
_PASSWORD = rf"[\w.-]*(?:{'|'.join(_PASSWORDS)})"
_ENVIRONMENT = rf"(?:{_PASSWORD}|(?-i:[A-Z0-9_]*_(?:PASS|SECRET|TOKEN)))"


def _after(words: str, value: str = _VALUE) -> re.Pattern[str]:
    """A value that stands after *words*, which stay."""
    return re.compile(rf"(?P<before>{words})(?:{value})", re.IGNORECASE | re.MULTILINE)


def _of_key(name: str) -> re.Pattern[str]:
    """The value of a quoted key of JSON or of a Python dictionary."""
    return _after(rf"""(?<!\w)(?P<mark>{_QUOTE}){name}(?P=mark)\s*:\s*""", _JSON_VALUE)


_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
_KEY_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
#: What may stand between two lines of a key: white space, as in JSON too, and what pytest puts before a line.
_BETWEEN = frozenset(" \t\r\n\\E+->|")
_BASE64_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/\r\n]*={0,2}")
_JOIN_TOKEN = re.compile(r"SWMTKN-[0-9A-Za-z-]*")
_UNLOCK_KEY = re.compile(r"SWMKEY-[0-9A-Za-z+/=-]*")

_CREDENTIALS = (
    rf"""(?:x-registry-(?:auth|config)|(?:proxy-)?authorization)(?:{_QUOTE})?\s*[:=]\s*"""
    r"""(?:(?:basic|bearer)\s+|b(?=["'])|(?!basic\s|bearer\s|b["']))"""
)

_ENVIRONMENTS = (*_PASSWORDS, "_pass", "_secret", "_token")

#: What is taken out where it stands behind words that say what it is; in this order. A pattern is costly, and one of
#: the words before it, in small letters, is in whatever it finds: where none of them is, it is not tried.
_NAMED = (
    (("unlockkey",), _of_key("unlockkey"), "unlock key"),
    (("jointoken",), _of_key("jointokens?"), "join token"),
    (("cakey",), _of_key("(?:signing)?cakey"), "private key"),
    (("data",), _of_key("(?-i:Data)"), "payload"),
    (("auth",), _of_key("auth"), "registry credentials"),
    (("x-registry-", "authorization"), _after(_CREDENTIALS, _JSON_VALUE), "registry credentials"),
    (_PASSWORDS, _of_key(_PASSWORD), "password"),
    # One word of a list, as environments and commands are given, may have blanks: "NAME=a value".
    (
        _ENVIRONMENTS,
        _after(rf"""(?P<mark>{_QUOTE}){_ENVIRONMENT}=""", rf"""{_NEW}(?P<bare>.+?)(?=(?P=mark)|$)"""),
        "password",
    ),
    (_PASSWORDS, _after(rf"""(?<![\w-])--{_PASSWORD}(?:=|\s+|{_QUOTE}\s*,\s*)"""), "password"),
    (_ENVIRONMENTS, _after(rf"""(?<![\w.-]){_ENVIRONMENT}="""), "password"),
    (_PASSWORDS, _after(rf"""^\s*(?:-\s+)?{_PASSWORD}:[^\S\n]+""", rf"{_NEW}(?P<bare>\S.*)"), "password"),  # YAML
    (_PASSWORDS, _after(rf"""(?<![\w.-]){_PASSWORD}\s*[=:][^\S\n]*"""), "password"),
    (("login",), _after(r"""\bdocker\s+login\b[^\n]*?\s-p[\s=]*"""), "password"),
    (("mysql", "mariadb"), _after(r"""\b(?:mysql|mariadb)[\w-]*\s[^\n|;&]*?(?<=\s)-p(?=\S)"""), "password"),
    (("://",), _after(r"""://[^\s:/@"']*:""", rf"""{_NEW}(?P<bare>[^\s/@"']+)(?=@)"""), "password"),
    # What `ip xfrm` prints of an encrypted overlay.
    (("0x",), _after(r"\b(?:enc|aead|auth|auth-trunc)\s+\S+\s+", "(?P<bare>0x[0-9a-f]+)"), "private key"),
)

#: What makes a secret of the cluster: where its content stands, in base64 or as it is.
_CREATED = re.compile(rf"""/secrets/create\b[\s\S]*?{_QUOTE}Data{_QUOTE}\s*:\s*{_QUOTE}(?P<base64>[A-Za-z0-9+/=]+)""")
_PIPED = re.compile(
    r"""\b(?:echo|printf)\s+(?:-\w+\s+|(?P<f>["']?)%s(?:\\n)?(?P=f)\s+)*"""
    rf"""(?P<quote>{_QUOTE}|)(?P<plain>[^\n|]+?)(?P=quote)"""
    r"""\s*\|\s*(?:sudo\s+)?docker\s+(?P<into>secret\s+create|login)\b"""
)

#: Values that tell nothing: that there is no secret is evidence, and what follows a bracket has keys of its own.
_NO_SECRETS = ("", "null", "None", "true", "false", "True", "False", "{", "[")

#: Secret parts of tokens that were seen, and what they are: a failed comparison shows them without the token around.
_seen: dict[str, str] = {}


def redact(text: str) -> str:
    """*text* without secrets: in the place of each stands what it was, such as ``[redacted join token]``.

    Taken out are join tokens, unlock keys, private keys, registry credentials, passwords and the payloads of secrets
    (those of configs look the same, and go too). What was once seen to be the secret part of a token, or the content
    of a secret that is made, is also taken out where it stands alone. Redacting twice changes nothing.
    """
    for created in _CREATED.finditer(text):
        _remember_content(created["base64"])
    text = _PIPED.sub(_without_piped, text)
    text = _PRIVATE_KEY.sub(lambda found: _remember_key(found[0]), text)
    text = _without_ends_of_keys(text)
    text = _BASE64_PEM.sub(_without_private_key, text)
    text = _JOIN_TOKEN.sub(lambda found: _remember(found[0], "join token"), text)
    text = _UNLOCK_KEY.sub(lambda found: _remember(found[0], "unlock key"), text)
    small = text.lower()
    for words, pattern, kind in _NAMED:
        if any(word in small for word in words):
            text = pattern.sub(functools.partial(_without_value, kind), text)
    for secret, kind in list(_seen.items()):
        text = text.replace(secret, _marker(kind))
    return text


def scrub(thing: Any) -> Any:
    """*thing* with every text inside it redacted; lists, dictionaries and objects are changed in place.

    For data that others made and this project hands on to a report, such as a traceback as pytest shows it.
    """
    if type(thing) is str:
        return redact(thing)
    if type(thing) is tuple:
        named = len(thing) == 2 and all(type(part) is str for part in thing)  # a name and its value
        return (thing[0], _scrubbed(*thing)) if named else tuple(scrub(part) for part in thing)
    if isinstance(thing, list):
        thing[:] = [scrub(part) for part in thing]
    elif isinstance(thing, dict):
        thing.update({name: _scrubbed(name, value) for name, value in thing.items()})
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        for name, value in vars(thing).items():
            setattr(thing, name, _scrubbed(name, value))
    return thing


#: Names of labels whose values are taken for secrets.
_TELLING = re.compile(
    r"password|passwd|passphrase|secret|token|credential|(?:api|private|access)[-_.]?key|(?<![a-z])(?:auth|pass)(?![a-z])",
    re.IGNORECASE,
)


def redact_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels without the values that are secrets, by their names or by what they hold."""
    return {
        name: _marker("password") if _TELLING.search(name) and value not in _NO_SECRETS else redact(value)
        for name, value in labels.items()
    }


def _scrubbed(name: object, value: Any) -> Any:
    secret = type(value) is str and value and re.fullmatch(_PASSWORD, str(name), re.IGNORECASE)
    return _marker("password") if secret else scrub(value)


def _marker(kind: str) -> str:
    return f"[redacted {kind}]"


def _remember(token: str, kind: str) -> str:
    secret = token.rpartition("-")[2]
    if len(secret) >= 20:  # less is a token cut short, or an example
        _seen[secret] = kind
    return _marker(kind)


def _remember_key(key: str) -> str:
    """Know a key's lines, which are also told one by one: by `head`, or where two texts are compared."""
    _seen.update(dict.fromkeys(re.findall(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}", key), "private key"))
    return _marker("private key")


def _without_ends_of_keys(text: str) -> str:
    """*text* without ends of keys whose beginning was cut off, such as by `tail`."""
    parts, done = [], 0
    for end in _KEY_END.finditer(text):
        begin = end.start()
        while True:  # from line to line, backwards
            stop = begin
            while stop > done and (text[stop - 1] in _BETWEEN or text[stop - 2 : stop] in ("\\n", "\\r")):
                stop -= 1
            start = stop
            while start > done and text[start - 1] in _BASE64:
                start -= 1
            if stop - start < 16:
                break
            begin = start
        parts += [text[done:begin], _remember_key(text[begin : end.end()])]
        done = end.end()
    return "".join(parts) + text[done:]


def _remember_content(encoded: str) -> None:
    """Know the content of a secret that is being made: a task prints it, and nothing there says what it is."""
    try:
        plain = base64.b64decode(encoded, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return
    for told in (encoded.rstrip("="), plain):
        if len(told) >= 8:  # less is found in what is no secret
            _seen[told] = "payload"


def _without_piped(found: re.Match[str]) -> str:
    plain = found["plain"]
    if plain.startswith(("$", "[redacted ")):
        return found[0]
    kind = "password" if found["into"] == "login" else "payload"
    if len(plain) >= 8:
        _seen[plain] = kind
        _seen[base64.b64encode(plain.encode()).decode().rstrip("=")] = kind
    begin, end = (place - found.start() for place in found.span("plain"))
    return f"{found[0][:begin]}{_marker(kind)}{found[0][end:]}"


def _without_value(kind: str, found: re.Match[str]) -> str:
    groups = found.groupdict()
    value = groups.get("quoted") or groups.get("bare") or ""
    if value in _NO_SECRETS:
        return found[0]
    quote = groups.get("quote") or ""
    return f"{found['before']}{quote}{_marker(kind)}{quote}"


def _without_private_key(found: re.Match[str]) -> str:
    joined = re.sub(r"\s", "", found[0]).rstrip("=")
    try:
        plain = base64.b64decode(joined[: len(joined) // 4 * 4])
    except binascii.Error:
        return _marker("private key")
    return _marker("private key") if b"PRIVATE KEY" in plain else found[0]


# Journals


@dataclass(frozen=True)
class Entry:
    """One thing that was asked, and what was answered.

    Attributes:
        offset: seconds since the journal began.
        source: who was asked, such as a node's name.
        request: what was asked, such as a command or "GET /services".
        answer: what came back.
    """

    offset: float
    source: str
    request: str
    answer: str

    def __str__(self) -> str:
        lines = self.answer.splitlines() or ["(no answer)"]
        return "\n".join([f"+{self.offset:.2f} s  {self.source}  {self.request}", *(f"    {line}" for line in lines)])


class Journal:
    """What was asked and answered while a verdict came about; redacted as it comes in. Threads may share it."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._first: list[Entry] = []
        self._last: deque[Entry] = deque(maxlen=LAST_ENTRIES)
        self._count = 0
        self._attachments: dict[str, str] = {}
        self._pictures: dict[str, str] = {}

    def add(self, source: str, request: str, answer: str) -> None:
        """Note that *source* was asked *request* and gave *answer*."""
        offset = time.monotonic() - self._start
        request, answer = (_shortened(redact(text).strip(), ANSWER_LIMIT) for text in (request, answer))
        entry = Entry(offset, source, request, answer)
        with self._lock:
            self._count += 1
            (self._first if len(self._first) < FIRST_ENTRIES else self._last).append(entry)

    def attach(self, name: str, text: str) -> None:
        """Keep a longer *text* under a *name* of its own, such as "firewall of slave01"; a name in use is replaced."""
        text = _shortened(redact(text), ATTACHMENT_LIMIT)
        with self._lock:
            self._attachments[name] = text

    def picture(self, name: str, svg: str) -> None:
        """Keep a picture (SVG) under a *name* such as "requests to port 8888"; a name in use gets a number."""
        svg = redact(svg)
        if len(svg) > PICTURE_LIMIT:
            self.add("suite", f"picture {name}", f"left out, as it has {len(svg)} characters")
            return
        with self._lock:
            number, free = 1, name
            while free in self._pictures:
                number += 1
                free = f"{name} ({number})"
            self._pictures[free] = svg

    def adopt(self, other: Journal) -> None:
        """Take over the entries of a journal that was opened after this one, such as that of a wait's last poll."""
        with self._lock:
            for entry in [*other._first, *other._last]:
                self._count += 1
                late = replace(entry, offset=entry.offset + other._start - self._start)
                (self._first if len(self._first) < FIRST_ENTRIES else self._last).append(late)

    @property
    def attachments(self) -> dict[str, str]:
        """The attached texts by name."""
        with self._lock:
            return dict(self._attachments)

    @property
    def pictures(self) -> dict[str, str]:
        """The pictures (SVG) by name."""
        with self._lock:
            return dict(self._pictures)

    def text(self) -> str:
        """The entries, as a person reads them."""
        with self._lock:
            first, last, left_out = list(self._first), list(self._last), self._count - len(self._first)
        left_out -= len(last)
        note = [f"({left_out} entries left out here)"] if left_out else []
        return "\n\n".join([*map(str, first), *note, *map(str, last)]) or "(nothing was asked)"


_current: Journal | None = None
#: Which of several things that happen side by side the calling thread is at.
_part: ContextVar[str] = ContextVar("_part", default="")
#: What the calling thread alone records into, while it tries something that may come to nothing.
_apart: ContextVar[Journal | None] = ContextVar("_apart", default=None)


@contextlib.contextmanager
def journal() -> Iterator[Journal]:
    """A new journal, which takes what is recorded until the context ends; then the one before does again."""
    global _current
    # Of the process and not of the thread: a test's own threads (load generators) record into the test's journal.
    before, _current = _current, Journal()
    try:
        yield _current
    finally:
        _current = before


def record(source: str, request: str, answer: str) -> None:
    """Note in the current journal that *source* was asked *request* and gave *answer*; without a journal, nowhere."""
    into = _apart.get() or _current
    if into is not None:
        into.add(f"{part}: {source}" if (part := _part.get()) else source, request, answer)


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Mark what the calling thread records with *name*, where several clusters have nodes of the same names."""
    token = _part.set(name)
    try:
        yield
    finally:
        _part.reset(token)


def picture(name: str, svg: str) -> None:
    """Keep a picture (SVG) in the current journal, beside what is recorded; without a journal, nowhere."""
    if _current is not None:
        _current.picture(name, svg)


@contextlib.contextmanager
def provisional() -> Iterator[Callable[[], None]]:
    """Let the calling thread record apart; what is yielded takes that over when called: of many polls, the last."""
    outer = _apart.get() or _current
    apart = Journal()
    token = _apart.set(apart)
    try:
        yield lambda: outer.adopt(apart) if outer else None
    finally:
        _apart.reset(token)


@contextlib.contextmanager
def aside() -> Iterator[Journal]:
    """Let the calling thread record into a journal of its own, which belongs to no test until it is taken over."""
    apart = Journal()
    token = _apart.set(apart)
    try:
        yield apart
    finally:
        _apart.reset(token)


def take_over(journal: Journal) -> None:
    """Take the entries of a journal that was kept `aside` into the current one."""
    if _current is not None:
        _current.adopt(journal)


# What is collected when something went wrong

#: Asked after a test that ended badly, while its cluster is still there; each attaches to the journal what it finds.
on_failure: list[Callable[[Journal], None]] = []


def diagnose(into: Journal) -> None:
    """Ask everything in `on_failure`. What cannot be collected is noted in the journal, and never raised."""
    for ask in list(on_failure):
        try:
            with journal():  # what is attached need not be recorded as well
                ask(into)
        except Exception as failed:
            into.add("suite", "diagnosis", f"could not be collected: {type(failed).__name__}: {failed}")


def _shortened(text: str, limit: int) -> str:
    cut = len(text) - limit
    if cut <= 0:
        return text
    head = limit * 2 // 3
    return f"{text[:head]}\n[… {cut} characters left out …]\n{text[head + cut :]}"
