"""Runs the command ``swarmlab`` as ``python -m swarmlab``."""

import sys

from swarmlab.cli.main import main

sys.exit(main())
