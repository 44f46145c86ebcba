"""A plugin whose labs take a minute to be taken down: ``pytest -p tests.proof.interruptions.slow_end``."""

import os
import time

from swarmlab.labs.containers.lab import DindLab
from swarmlab.signals import print_safely

_ERRORS = os.dup(2)


def pytest_configure():
    down = DindLab.down

    def slow(lab):
        print_safely("slow end begins", _ERRORS)
        time.sleep(60)
        down(lab)

    DindLab.down = slow
