"""Write the reference of the configuration, docs/config.md, from its schema and from what architectures bring."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from earmark.plan.architectures import Architecture, architectures
from earmark.plan.config import load_schema

HEAD = """# Every key of the configuration

Made by `make lock` from `src/earmark/plan/config.schema.yaml` and the YAML files in `src/earmark/explainers` and
`src/earmark/models`: change it there. `config.yaml` holds the values in use, and a file given with `--configfile`
is merged over it: mappings merge, lists replace.
"""

BRINGS = """## What an architecture brings

A data set whose `model.architecture` names one takes these settings too. What it sets itself comes before them, and
they before what it takes over from another by `extends`.
"""


def reference() -> str:
    """Describe every key with its type, its default and its meaning, as Markdown."""
    schema = load_schema()
    block = schema["$defs"]["dataset"]["properties"]
    sections = {name: section for name, section in block.items() if "properties" in section}
    parts = [HEAD, _table(schema["properties"])]
    plain = {name: key for name, key in block.items() if name not in sections}
    parts += ["## `datasets.NAME`\n", _table(plain)]
    for name, section in sections.items():
        parts += _section(name, section)
    parts += [BRINGS, *(_brought(one) for one in architectures().values())]
    return "\n".join(parts)


def _brought(one: Architecture) -> str:
    """Describe an architecture, and list what it brings as a data set would set it."""
    sections = [f"      {name}: {json.dumps(keys)}" for name, keys in one.brings.items()]
    rules = [f"          - {json.dumps(rule)}" for rule in one.rules]
    lines = [*sections, "      lrp:", "        rules:", *rules]
    return "\n".join([f"**{one.name}**: {one.says}.\n", "```yaml", *lines, "```\n"])


def _section(name: str, section: Mapping[str, Any]) -> list[str]:
    """Describe a section, and after it the sections in it."""
    keys = section["properties"]
    inner = {key: below for key, below in keys.items() if "properties" in below}
    plain = {key: below for key, below in keys.items() if key not in inner}
    parts = [f"## `datasets.NAME.{name}`\n", _sentence(section["description"])]
    parts += [_table(plain)] if plain else []
    return parts + [part for key, below in inner.items() for part in _section(f"{name}.{key}", below)]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}.\n"


def _table(keys: Mapping[str, Any]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    rows += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in _rows(keys)]
    return "\n".join(rows) + "\n"


def _rows(keys: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str, str, str]]:
    for name, key in keys.items():
        default = f"`{json.dumps(key['default'])}`" if "default" in key else ""
        for other, values in key.get("defaults", {}).items():
            default += "".join(f"; {other} {value}: `{json.dumps(own)}`" for value, own in values.items())
        meaning = ": ".join([key["description"], *([" | ".join(key["examples"])] if "examples" in key else [])])
        for other, values in key.get("fits", {}).items():
            meaning += f" ({other} {' or '.join(values)})"
        yield f"`{above}{name}`", _kind(key), default, meaning
        if "properties" in key.get("items", {}):
            yield from _rows(key["items"]["properties"], f"{above}{name}[].")


def _kind(key: Mapping[str, Any]) -> str:
    if "enum" in key:
        return "choice"
    kinds = [key["type"]] if isinstance(key["type"], str) else key["type"]
    names = {"object": "mapping", "array": "list", "string": "text"}
    return " or ".join(names.get(kind, kind) for kind in kinds)


if __name__ == "__main__":
    print(reference(), end="")
