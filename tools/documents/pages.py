"""The generated pages by file name, each with the function that returns its text."""

from __future__ import annotations

from collections.abc import Callable

from swarmlab.paths import ROOT
from tools.documents.claims import claims, needs
from tools.documents.defects import known_defects
from tools.documents.options import command_line, options_file, pytest_options
from tools.documents.schemas import explain_json, inventory, profile_json, progress_json, verdicts_json

#: Where the pages go.
FOLDER = ROOT / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "claims.md": claims,
    "command-line.md": command_line,
    "explain-json.md": explain_json,
    "inventory.md": inventory,
    "known-defects.md": known_defects,
    "needs.md": needs,
    "profile-json.md": profile_json,
    "progress-json.md": progress_json,
    "pytest-options.md": pytest_options,
    "swarmlab-toml.md": options_file,
    "verdicts-json.md": verdicts_json,
}
