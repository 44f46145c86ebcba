"""Environments of services that hold what looks like a secret. Only the names of variables are told, never values."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Names whose last word says that the value is a secret, such as DB_PASSWORD, API_KEY and GITHUB_TOKEN_2.
_NAMED = re.compile(
    r"(^|_)(PASS|PASSWD|PASSWORD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|SECRET_KEY_BASE|"
    r"(API|ACCESS|PRIVATE|SECRET|MASTER|ENCRYPTION|SIGNING|AUTH)_?KEY)(_?\d+)?$|PASSWORD(_?\d+)?$|_PWD(_?\d+)?$",
    re.IGNORECASE,
)
#: The same of names such as jwtSecret.
_CAMEL = re.compile(r"[a-z0-9](Pass|Passwd|Password|Passphrase|Secret|Token|Credentials?|Key)$")
#: Values that are secrets whatever their names: private keys, passwords in URLs, keys of AWS, tokens of JWT, GitHub,
#: GitLab and Slack.
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|://[^\s/:@]*:[^\s/@]+@|\bAKIA[0-9A-Z]{16}\b|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."
    r"|\b(gh[pousr]_|github_pat_)\w{20,}|\bglpat-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}"
)
#: Values of such names that are none: nothing, switches, paths of files, and templates. A slash alone makes no path.
_NO_SECRET = re.compile(r"|yes|no|on|off|true|false|none|null|[01]|/[^/\s]+/\S*|file:\S+|\{\{.*\}\}", re.IGNORECASE)


def revealing(environment: Iterable[str]) -> list[str]:
    """Return the names of the variables of an environment (NAME=VALUE) whose values look like secrets."""
    pairs = [entry.partition("=") for entry in environment]
    return [
        name
        for name, _, value in pairs
        if _FORMS.search(value) or ((_NAMED.search(name) or _CAMEL.search(name)) and not _NO_SECRET.fullmatch(value))
    ]
