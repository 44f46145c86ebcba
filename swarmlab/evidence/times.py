"""When a test began and failed, as its evidence file says it below the verdict, and as reports read it there."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_FORM = "%Y-%m-%dT%H:%M:%S.%f"
_BEGAN = re.compile(r"^began (\d{4}-\d\d-\d\dT[\d:.]+)Z", re.MULTILINE)
_FAILED = re.compile(r"^began \S+, failed (\d{4}-\d\d-\d\dT[\d:.]+)Z$", re.MULTILINE)


def began(moment: datetime) -> str:
    """Return the words for the beginning of a test."""
    return f"began {_shown(moment)}"


def failed(moment: datetime) -> str:
    """Return the words for the moment at which a test did not end well."""
    return f"failed {_shown(moment)}"


def window(text: str) -> tuple[datetime, datetime] | None:
    """Return when the test of an evidence file began and failed; None if the file does not say so.

    Args:
        text: the file, or its first lines.
    """
    first, last = _BEGAN.search(text), _FAILED.search(text)
    return (_read(first[1]), _read(last[1])) if first and last else None


def _shown(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime(_FORM)[:-3] + "Z"


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
