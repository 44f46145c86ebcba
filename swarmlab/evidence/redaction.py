"""Redaction: takes secrets out of text and data before they are written anywhere."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from typing import Any

from swarmlab.evidence.foreign import masked

# A value is in quotes, or ends at the next blank or quote. Quotes may be escaped, as in JSON within JSON.
# A marker such as "[redacted password]" is not a value, so redacting twice changes nothing.
_QUOTE = r"""\\{0,7}["']"""
_NEW = rf"""(?!{_QUOTE}?\[redacted\ )"""
_QUOTED = rf"""(?P<quote>{_QUOTE})(?P<quoted>.*?)(?:(?<!\\)(?P=quote)|$)"""
_VALUE = rf"""{_NEW}(?:{_QUOTED}|(?P<bare>(?:(?!{_QUOTE})\S)+))"""
_JSON_VALUE = rf"""{_NEW}(?:{_QUOTED}|(?P<bare>[^\s,"'}}\]]+))"""
_PASSWORDS = ("password", "passwd", "passphrase", "identitytoken", "registrytoken")
_PASSWORD = rf"[\w.-]*(?:{'|'.join(_PASSWORDS)})"
_ENVIRONMENT = rf"(?:{_PASSWORD}|(?-i:[A-Z0-9_]*_(?:PASS|SECRET|TOKEN)))"


def _after(prefix: str, value: str = _VALUE) -> re.Pattern[str]:
    """Return a pattern for a value that follows *prefix*; the prefix stays."""
    return re.compile(rf"(?P<before>{prefix})(?:{value})", re.IGNORECASE | re.MULTILINE)


def _of_key(name: str) -> re.Pattern[str]:
    """Return a pattern for the value of a quoted key of JSON or of a Python dictionary."""
    return _after(rf"""(?<!\w)(?P<mark>{_QUOTE}){name}(?P=mark)\s*:\s*""", _JSON_VALUE)


_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
_KEY_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
#: Characters between two lines of a key: white space, also as JSON escapes it, and pytest's prefixes of a line.
_BETWEEN = frozenset(" \t\r\n\\E+->|")
_BASE64_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/\r\n]*={0,2}")
_JOIN_TOKEN = re.compile(r"SWMTKN-[0-9A-Za-z-]*")
_UNLOCK_KEY = re.compile(r"SWMKEY-[0-9A-Za-z+/=-]*")

_CREDENTIALS = (
    rf"""(?:x-registry-(?:auth|config)|(?:proxy-)?authorization)(?:{_QUOTE})?\s*[:=]\s*"""
    r"""(?:(?:basic|bearer)\s+|b(?=["'])|(?!basic\s|bearer\s|b["']))"""
)

_ENVIRONMENTS = (*_PASSWORDS, "_pass", "_secret", "_token")

#: Secrets that follow a name which says what they are, in the order in which they are replaced: hints, pattern, kind.
#: A pattern is slow, so it is tried only on text that has one of its hints (in lower case), which every match has.
_NAMED = (
    (("unlockkey",), _of_key("unlockkey"), "unlock key"),
    (("jointoken",), _of_key("jointokens?"), "join token"),
    (("cakey",), _of_key("(?:signing)?cakey"), "private key"),
    (("data",), _of_key("(?-i:Data)"), "payload"),
    (("auth",), _of_key("auth"), "registry credentials"),
    (("x-registry-", "authorization"), _after(_CREDENTIALS, _JSON_VALUE), "registry credentials"),
    (_PASSWORDS, _of_key(_PASSWORD), "password"),
    # An element of a list, of an environment or a command, may have blanks: "NAME=a value".
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
    # Keys of an encrypted overlay network, as `ip xfrm` prints them.
    (("0x",), _after(r"\b(?:enc|aead|auth|auth-trunc)\s+\S+\s+", "(?P<bare>0x[0-9a-f]+)"), "private key"),
)

#: Requests and commands that create a secret: the API has its content in base64, a pipe has it in the clear.
_CREATED = re.compile(rf"""/secrets/create\b[\s\S]*?{_QUOTE}Data{_QUOTE}\s*:\s*{_QUOTE}(?P<base64>[A-Za-z0-9+/=]+)""")
_PIPED = re.compile(
    r"""\b(?:echo|printf)\s+(?:-\w+\s+|(?P<f>["']?)%s(?:\\n)?(?P=f)\s+)*"""
    rf"""(?P<quote>{_QUOTE}|)(?P<plain>[^\n|]+?)(?P=quote)"""
    r"""\s*\|\s*(?:sudo\s+)?docker\s+(?P<into>secret\s+create|login)\b"""
)

#: Values that stay: an absent secret is evidence, and a bracket opens a value whose keys are redacted by themselves.
_NO_SECRETS = ("", "null", "None", "true", "false", "True", "False", "{", "[")

#: Kind of each secret redacted so far. A failed comparison, for example, shows a secret without the name before it.
_known: dict[str, str] = {}
#: Characters of the shortest content that is remembered; shorter ones also occur in text that is not secret.
_LEAST = 8


def redact(text: str) -> str:
    """Return *text* with each secret replaced by its kind, such as ``[redacted join token]``.

    Secrets are join tokens, unlock keys, private keys, registry credentials, passwords, and the payloads of the
    cluster's secrets (and of its configs, which look the same). A secret that was found once is replaced everywhere
    afterwards, also where nothing beside it says what it is; so are the values of others that a record left out (see
    `swarmlab.evidence.foreign`). Redacting twice changes nothing.
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
    for hints, pattern, kind in _NAMED:
        if any(hint in small for hint in hints):
            text = pattern.sub(functools.partial(_without_value, kind), text)
    for secret, kind in list(_known.items()):
        text = text.replace(secret, _marker(kind))
    return masked(text)


def scrub(thing: Any) -> Any:
    """Return *thing* with every text inside it redacted; lists, dictionaries and objects are changed in place.

    Use it for data of other libraries that goes into a report, such as pytest's traceback.
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


def _scrubbed(name: object, value: Any) -> Any:
    secret = type(value) is str and value and re.fullmatch(_PASSWORD, str(name), re.IGNORECASE)
    return _marker("password") if secret else scrub(value)


def _marker(kind: str) -> str:
    return f"[redacted {kind}]"


def _remember(token: str, kind: str) -> str:
    secret = token.rpartition("-")[2]
    if len(secret) >= 20:  # a shorter one is cut off, or an example
        _known[secret] = kind
    return _marker(kind)


def _remember_key(key: str) -> str:
    """Remember every line of a private key: `head`, or a comparison of two texts, shows single lines."""
    _known.update(dict.fromkeys(re.findall(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{16,}", key), "private key"))
    return _marker("private key")


def _without_ends_of_keys(text: str) -> str:
    """Return *text* with the ends of private keys redacted whose beginning is cut off, as `tail` does."""
    parts, done = [], 0
    for end in _KEY_END.finditer(text):
        begin = end.start()
        while True:  # line by line, backwards
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
    """Remember the content of a secret that is created: a task may print it where nothing says what it is."""
    try:
        plain = base64.b64decode(encoded, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return
    for content in (encoded.rstrip("="), plain):
        if len(content) >= _LEAST:
            _known[content] = "payload"


def _without_piped(found: re.Match[str]) -> str:
    plain = found["plain"]
    if plain.startswith(("$", "[redacted ")):
        return found[0]
    kind = "password" if found["into"] == "login" else "payload"
    if len(plain) >= _LEAST:
        _known[plain] = kind
        _known[base64.b64encode(plain.encode()).decode().rstrip("=")] = kind
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
