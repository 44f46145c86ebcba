"""Where the checkout is: the only module that knows.

The project is installed from its checkout (`pip install -e .`), because claims, recipes of images and suites are read
from there.
"""

from __future__ import annotations

from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parent.parent
#: The catalogues of claims.
CLAIMS = ROOT / "claims"
#: What images of nodes, workloads and machines are made from.
IMAGES = ROOT / "images"
#: Scripts that install an engine on a bare system.
PROVISION = ROOT / "provision"
#: What runs leave, where nothing else is said.
REPORTS = ROOT / "reports"
