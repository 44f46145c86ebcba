"""``python -m swarmlab`` is the command `swarmlab`."""

import sys

from swarmlab.cli.main import main

sys.exit(main())
