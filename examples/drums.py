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


def recordings(kit: Path, description: ElementTree.Element) -> dict[str, str]:
    """Map a kit's recordings, every layer of an instrument being one, to their kinds."""
    found: dict[str, str] = {}
    for instrument in description.iterfind(".//{*}instrument"):
        kind = kind_of(instrument.findtext("{*}name") or "")
        for name in instrument.iterfind(".//{*}filename"):
            if kind and name.text and (kit / name.text).is_file():
                found.setdefault(name.text, kind)
    return found


def main() -> None:
    """Copy the recordings to `target/KIND/KIT__NAME` and list their kits and licences in `target/licences.csv`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=Path("recordings/drums"))
    parser.add_argument("--kits", type=Path, default=INSTALLED, help=f"folder of kits (default {INSTALLED})")
    arguments = parser.parse_args()
    kits = sorted(path.parent for path in arguments.kits.glob("*/drumkit.xml"))
    if not kits:
        sys.exit(f"{arguments.kits} holds no kits: sudo apt-get install hydrogen-drumkits")
    counts: Counter[str] = Counter()
    licences = []
    for kit in kits:
        description = ElementTree.parse(kit / "drumkit.xml").getroot()
        slug = re.sub(r"[^A-Za-z0-9]+", "-", kit.name).strip("-")
        found = recordings(kit, description)
        for name, kind in found.items():
            copy = arguments.target / kind / f"{slug}__{name.replace('/', '-')}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kit / name, copy)
            counts[kind] += 1
        if found:
            about = [" ".join((description.findtext(f"{{*}}{key}") or "").split()) for key in ("author", "license")]
            licences.append([slug, *about])
    if not counts:
        sys.exit(f"{arguments.kits}: no instrument of these kits is a {', a '.join(KINDS)}")
    with (arguments.target / "licences.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["kit", "author", "licence"], *licences])
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    print(f"{arguments.target}: {by_kind}; {len(licences)} kits")


if __name__ == "__main__":
    main()
