"""``swarmlab verify``: whether the files of a run are as the run left them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from swarmlab.cli.common import RUN
from swarmlab.errors import UsageError
from swarmlab.files import kind_of, shown
from swarmlab.paths import REPORTS
from swarmlab.verdicts import folders, manifest


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("run_path", nargs="?", metavar="RUN", help=f"{RUN} (default: the checkout's reports/)")
    parser.add_argument(
        "--digest",
        metavar="SHA256",
        help="the digest that the run, or its report, told: checks also that the digests were not written anew",
    )
    parser.epilog = (
        f"Compares each file with {manifest.NAME}, which the run wrote at its end. `sha256sum -c {manifest.NAME}` in "
        f"the run's folder does so, too, but for added files. Not covered: {', '.join(manifest.LATER)}, which commands "
        "write later. Exit status: 0 if all is as the run left it, 1 if a file was changed, is missing or was added, 2 "
        "if there is no such run or it has no digest."
    )


def run(args: argparse.Namespace) -> int:
    """Check that no file of a run was changed, is missing or was added since its end.

    Raises:
        UsageError: the path names no run, the run goes on, or --digest is no digest.
    """
    wanted = _digest(args.digest) if args.digest else ""
    folder = _folder(Path(args.run_path) if args.run_path else REPORTS)
    if going_on := folders.going_on(folder):
        raise UsageError(f"{folder}: {going_on}; verify it when it has ended")
    listed = manifest.read(folder)
    found = list(manifest.differences(folder, listed))
    for difference in found:
        print(difference)
    computed = manifest.digest(folder)
    if wanted and computed != wanted:
        print(f"changed: {manifest.NAME} (its digest is {computed}, not {wanted}: the digests were written anew)")
    whole = not found and wanted in ("", computed)
    print(f"{folder}: {'all' if whole else 'NOT all'} {len(listed)} files are as the run left them")
    print(f"digest: sha256 {computed}{' as given' if wanted and wanted == computed else ''}")
    if later := manifest.later(folder):
        print(f"not covered, as it is written after a run: {', '.join(later)}")
    return 0 if whole else 1


def _digest(text: str) -> str:
    """Return the digest that an option gives.

    Raises:
        UsageError: It is none.
    """
    found = re.fullmatch(r"(?:sha256[: ])?\s*([0-9a-fA-F]{64})", text.strip())
    if not found:
        raise UsageError(f"--digest {shown(text, 80)}: is no SHA-256; write its 64 hexadecimal digits")
    return found[1].lower()


def _folder(path: Path) -> Path:
    """Return the folder of a run, also of one whose verdicts are gone.

    Raises:
        UsageError: There is no run.
    """
    for folder in (path, path / folders.LATEST, path.parent if path.name in folders.FILES else path):
        if kind_of(folder / manifest.NAME):
            return folder.resolve()
    return folders.find(path).parent.resolve()
