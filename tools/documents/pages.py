"""The generated pages by file name, each with the function that returns its text."""

from __future__ import annotations

from collections.abc import Callable

from swarmlab.paths import ROOT
from tools.documents.claims import claims, needs
from tools.documents.defects import known_defects
from tools.documents.hosts import packages
from tools.documents.options import command_line, options_file, pytest_options
from tools.documents.schemas import LAYOUTS, inventory, waivers

#: Where the pages go.
FOLDER = ROOT / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "claims.md": claims,
    "command-line.md": command_line,
    "inventory.md": inventory,
    "known-defects.md": known_defects,
    "needs.md": needs,
    "packages.md": packages,
    "pytest-options.md": pytest_options,
    "swarmlab-toml.md": options_file,
    "waivers.md": waivers,
    **{f"{name}.md": layout.page for name, layout in LAYOUTS.items()},
}
