"""Downloads one file, as a program: ``python -m swarmlab.images.download URL FILE``.

It is a program of its own because a run's process may have moved to a network namespace that has no way out. It prints
progress on standard output. It ends with 1 and one line on standard error if the file cannot be had, and with 3 if the
server says that there is no such file. Proxies are taken from the environment (HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import requests

#: Exit statuses: the file cannot be had now; there is no such file.
FAILED, MISSING = 1, 3
#: Seconds to connect, and seconds without a byte from the server, after which it is given up.
_CONNECT, _SILENCE = 10, 30
#: Seconds between two lines of progress.
_PERIOD = 3.0
_MB = 10**6


def fetch(url: str, file: Path) -> None:
    """Download *url* to *file*.

    Raises:
        requests.exceptions.RequestException: it cannot be had, or the connection ended early.
        OSError: the file cannot be written.
    """
    with requests.get(url, stream=True, timeout=(_CONNECT, _SILENCE)) as answer:
        answer.raise_for_status()
        size = int(answer.headers.get("Content-Length") or 0)
        whole = f" of {size / _MB:.0f}" if size else ""
        got, reported = 0, time.monotonic()
        with file.open("wb") as target:
            for block in answer.iter_content(2**18):
                target.write(block)
                got += len(block)
                if time.monotonic() - reported > _PERIOD:
                    reported = time.monotonic()
                    print(f"{got / _MB:.0f}{whole} MB", flush=True)
        if size and got < size and "Content-Encoding" not in answer.headers:
            raise requests.exceptions.ConnectionError(f"the connection ended after {got} of {size} bytes")


def main() -> int:
    """Run the program; see the module's text."""
    url, file = sys.argv[1], Path(sys.argv[2])
    try:
        fetch(url, file)
    except requests.exceptions.HTTPError as refused:
        status = refused.response.status_code
        print(f"HTTP {status} {refused.response.reason}", file=sys.stderr)
        return MISSING if status in (404, 410) else FAILED
    except (requests.exceptions.RequestException, OSError) as failed:
        print(_cause(failed), file=sys.stderr)
        return FAILED
    return 0


def _cause(failed: BaseException) -> str:
    """Return the innermost reason of a failure, in one line: what requests says repeats every layer above it."""
    while inner := next(
        (given for given in (*failed.args, failed.__cause__) if isinstance(given, BaseException)), None
    ):
        failed = inner
    failed = getattr(failed, "reason", None) or failed
    failed = failed.__cause__ or failed
    return getattr(failed, "strerror", None) or " ".join(str(failed).split()) or type(failed).__name__


if __name__ == "__main__":
    sys.exit(main())
