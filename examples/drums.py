"""Sort drum kits of Hydrogen into a folder per kind of drum, for examples/drums.yaml.

Debian and Ubuntu ship a dozen free kits as the package `hydrogen-drumkits`; each kit's `drumkit.xml` says which
recording is which instrument, and under which licence it stands.
"""

import argparse
import csv
import re
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

INSTALLED = Path("/usr/share/hydrogen/data/drumkits")

KINDS = {
    "kick": r"kick|bass ?drum",
    "snare": r"snare",
    "hat": r"\bhat\b|hi-?\s?hat|\bo?hh\b",
    "tom": r"\btom|tomhi",
    "cymbal": r"crash|ride|cymbal|splash|china",
}
"""What an instrument's name says of it; the first that fits decides, the others are left out."""


def kind_of(name: str) -> str | None:
    """Return the kind of drum that an instrument is called after."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name, re.IGNORECASE)), None)


@dataclass(frozen=True)
class Kit:
    """A kit: its folder, its name for file names, the kinds of its recordings, and who made it under which licence."""

    folder: Path
    slug: str
    recordings: dict[str, str]
    author: str
    licence: str

    def copy_of(self, name: str) -> str:
        """Name the copy of a recording."""
        return f"{self.slug}__{name.replace('/', '-')}"


def kits_in(folder: Path) -> list[Kit]:
    """Read the descriptions of all kits in a folder; without any, say what to install."""
    found = sorted(path.parent for path in folder.glob("*/drumkit.xml"))
    if not found:
        sys.exit(f"{folder} holds no kits: sudo apt-get install hydrogen-drumkits")
    return [kit_of(kit) for kit in found]


def kit_of(folder: Path) -> Kit:
    """Read the description of a kit."""
    description = ElementTree.parse(folder / "drumkit.xml").getroot()
    about = [" ".join((description.findtext(f"{{*}}{key}") or "").split()) for key in ("author", "license")]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", folder.name).strip("-")
    return Kit(folder, slug, recordings(folder, description), *about)


def recordings(kit: Path, description: ElementTree.Element) -> dict[str, str]:
    """Map a kit's recordings, every layer of an instrument being one, to their kinds."""
    found: dict[str, str] = {}
    for instrument in description.iterfind(".//{*}instrument"):
        kind = kind_of(instrument.findtext("{*}name") or "")
        for name in instrument.iterfind(".//{*}filename"):
            if kind and name.text and (kit / name.text).is_file():
                found.setdefault(name.text, kind)
    return found


def listed(target: Path, counts: Counter[str], kits: list[Kit]) -> None:
    """Write the licences of kits to `target/licences.csv`, and say what was made of them."""
    with (target / "licences.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[kit.slug, kit.author, kit.licence] for kit in kits]
        csv.writer(file).writerows([["kit", "author", "licence"], *rows])
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    print(f"{target}: {by_kind}; {len(kits)} kits")


def main() -> None:
    """Copy the recordings to `target/KIND/KIT__NAME` and list their kits and licences in `target/licences.csv`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=Path("recordings/drums"))
    parser.add_argument("--kits", type=Path, default=INSTALLED, help=f"folder of kits (default {INSTALLED})")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    used = []
    for kit in kits_in(arguments.kits):
        for name, kind in kit.recordings.items():
            copy = arguments.target / kind / kit.copy_of(name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kit.folder / name, copy)
            counts[kind] += 1
        if kit.recordings:
            used.append(kit)
    if not counts:
        sys.exit(f"{arguments.kits}: no instrument of these kits is a {', a '.join(KINDS)}")
    listed(arguments.target, counts, used)


if __name__ == "__main__":
    main()
