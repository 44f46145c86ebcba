"""``swarmlab engines``: list the engines that nodes can have, or have their archives ahead."""

from __future__ import annotations

import argparse

from swarmlab.cli.common import say
from swarmlab.errors import UsageError
from swarmlab.images import archives, stock
from swarmlab.images.engines import engine_choice, held, known_engines, obtain
from swarmlab.images.releases import release_of, releases

_ROW = "{:24} {:12} {:6} {:9} {:7} {}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("verb", nargs="?", choices=["fetch"], help="fetch: have the archives of ENGINE… on this host")
    parser.add_argument("engine", nargs="*", metavar="ENGINE", help="a version such as 18.03.1, or an archive's URL")
    parser.add_argument("--all", action="store_true", help="list every release that Docker's site has, too")
    parser.epilog = (
        f"Archives are from {stock.SITE}, or from the site that SWARMLAB_ENGINE_MIRROR names; HTTPS_PROXY is heeded. "
        f"They are held against {stock.lock_file().name} in the checkout, or the file that SWARMLAB_ENGINES_LOCK names."
    )


def run(args: argparse.Namespace) -> int:
    """List the engines that nodes can have and where they are from, or have archives on this host ahead."""
    if args.verb:
        _fetch(args)
    else:
        print("\n".join(_listed(site=args.all)))
    return 0


def _fetch(args: argparse.Namespace) -> None:
    if not args.engine or args.all:
        raise UsageError("write: swarmlab engines fetch ENGINE…, such as 18.03.1 or the URL of an archive")
    for choice in map(engine_choice, args.engine):
        if choice.source == "debian":
            say(f"{choice} is Debian's; it is installed when its image is made")
            continue
        obtain([choice], say)
        content = held(choice)
        print(f"{choice.version}  {content.sha256}  {content.place}")


def _listed(*, site: bool) -> list[str]:
    lines = [_ROW.format("ENGINE", "VERSION", "API", "CGROUPS", "KERNEL", "FROM")]
    for choice in known_engines().values():
        lines.append(_row(choice.name, choice.version, f"Debian {choice.place}, its package docker.io"))
    here = stock.archives_here()
    for place, file in sorted(here.items(), key=lambda item: archives.version_in(item[0])):
        version = archives.version_in(place)
        lines.append(_row(place if "://" in place else version, version, f"cached: {file}"))
    if site:
        places = [place for place in stock.on_site() if place not in here]
        lines += [_row(version, version, "Docker's site") for version in map(archives.version_in, places)]
    else:
        lines += [_row(f"{line.line}.N", f"{line.line}.N", "Docker's static archives") for line in releases()]
    lines.append(
        "29.1 stands for its newest release. The file or URL of an archive, or a folder of packages, will do too."
    )
    return lines


def _row(name: str, version: str, source: str) -> str:
    release = release_of(version)
    return _ROW.format(name, version, release.api, release.cgroups, release.kernel, source)
