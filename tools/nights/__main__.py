"""Write the page of nights: ``python -m tools.nights KEPT OUT``. tools/publish calls it."""

from __future__ import annotations

import sys
from pathlib import Path

from swarmlab import outputs
from swarmlab.errors import SwarmlabError
from tools.nights import page

if __name__ == "__main__":
    kept, out = map(Path, sys.argv[1:])
    try:
        outputs.write(out / "index.html", page.render(page.read(kept), out))
    except SwarmlabError as failed:
        print(f"nights: {failed}", file=sys.stderr)
        sys.exit(1)
    print(out / "index.html")
