"""Why a download failed: tells a source that is not reached from a name that the source does not have.

pip and apt end with "No matching distribution" and "Unable to locate package" for both.
"""

from __future__ import annotations

import re

#: What programs print of a source that they do not reach.
_SIGNS = re.compile(
    r"Temporary failure (?:in name resolution|resolving)"
    r"|(?:Could not|Cannot|Unable to) (?:resolve|connect)(?: host| to (?:proxy|server))?"
    r"|Name or service not known|no such host|nodename nor servname"
    r"|Network is unreachable|No route to host|Connection (?:refused|reset by peer|timed out|failed)"
    r"|[Rr]ead timed out|[Cc]onnect(?:ion)? (?:to \S+ )?timed out|i/o timeout|TLS handshake timeout"
    r"|context deadline exceeded|Client\.Timeout exceeded|request canceled"
    r"|Tunnel connection failed: \d+ [\w ]*\w|Proxy Authentication Required|Cannot connect to proxy"
    r"|certificate verify failed|CERTIFICATE_VERIFY_FAILED|x509: [\w ]+|server gave HTTP response to HTTPS client",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"https?://(?:[^/@\s'\"]+@)?([^/\s'\"]+)|[Hh]ost='([^']+)'|resolv(?:ing|e) '([^']+)'|lookup ([\w.-]+)"
)


def unreached(output: str, source: str = "the source") -> str:
    """Return that a source is not reached, and why, from what a program printed; empty if it says nothing of that.

    Args:
        output: the program's output.
        source: the source's name, where the output does not say it.

    Example:
        unreached(pip.stderr, "the Python package index")
    """
    for line in output.splitlines():
        if found := _SIGNS.search(line):
            named = _HOST.search(line)
            host = next(filter(None, named.groups()), source) if named else source
            sign = found[0].strip()
            return f"{host} is not reached ({sign}); check the network, the proxy (HTTPS_PROXY) or the mirror"
    return ""


def why(output: str, *marks: str, source: str = "the source") -> str:
    """Return in one line why a program failed that downloads: `unreached`, or else the first line with a mark.

    Args:
        output: the program's output.
        marks: beginnings of lines that are errors, such as "E:".
        source: see `unreached`.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(marks)] if marks else []
    return unreached(output, source) or (marked or lines[-1:] or ["it printed nothing"])[0]
