"""The paths of the checkout. No other module knows where it is.

The project is installed from its checkout (`pip install -e .`), because claims, recipes of images and suites are read
from there.
"""

from __future__ import annotations

from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parent.parent
#: The catalogues of claims.
CLAIMS = ROOT / "claims"
#: Recipes of the images of nodes, workloads and machines.
IMAGES = ROOT / "images"
#: Scripts that install an engine on a bare system.
PROVISION = ROOT / "provision"
#: Reports of runs, unless an option names another folder.
REPORTS = ROOT / "reports"
