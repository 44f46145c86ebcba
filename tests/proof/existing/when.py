"""A plugin that notes when each test ran: ``pytest -p tests.proof.existing.when``.

The environment variable WHEN holds the file: a line for each test, with its start and its end in seconds since 1970.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    start = time.time()
    try:
        return (yield)
    finally:
        with Path(os.environ["WHEN"]).open("a") as file:
            file.write(f"{start} {time.time()} {item.nodeid}\n")
