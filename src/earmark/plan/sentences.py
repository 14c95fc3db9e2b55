"""One clear sentence for every mistake in a configuration."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

from jsonschema.exceptions import ValidationError

TYPES_IN_WORDS = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys to values",
    "null": "null",
}

BOUNDS_IN_WORDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "greater than",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}


def choices(wrong: object, allowed: Iterable[object]) -> str:
    """End a sentence on a wrong name with the allowed ones, and with the one that was probably meant."""
    names = [str(name) for name in allowed]
    known = {part: name for name in names for part in (name.partition("~")[0], name)}  # random means random~SEED
    close = difflib.get_close_matches(str(wrong), known, n=1)
    hint = f"; did you mean {known[close[0]]}? Allowed: " if close else "; allowed: "
    return hint + ", ".join(names)


def dotted(path: Iterable[object]) -> str:
    """Write a path as ``datasets.synthetic.lrp.rules[1]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def shown(value: object) -> str:
    """Write a value as YAML would, text in quotes, cut where it is long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def sentence(error: ValidationError) -> str:
    """Say what is wrong where."""
    where, rule, value = dotted(error.absolute_path), error.validator, error.instance
    subject = where or "the whole"
    match rule:
        case "additionalProperties":
            allowed = list(error.schema["properties"])
            unknown = next(key for key in value if key not in allowed)
            key = dotted([*error.absolute_path, str(unknown)])
            return f"{key} is not a known key{choices(unknown, allowed)}"
        case "required":
            missing = next(key for key in error.validator_value if key not in value)
            return f"{subject} lacks the key {missing}"
        case "pattern":  # of the names of data sets
            return f"{where}.{value} is not a name for a data set: use a-z, 0-9 and -"
        case "type":
            kinds = error.validator_value
            words = " or ".join(TYPES_IN_WORDS[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
            return f"{subject} must be {words}, not {shown(value)}{_number_hint(value, kinds)}"
        case "enum":
            return f"{subject} cannot be {shown(value)}{choices(value, error.validator_value)}"
        case "minItems" | "maxItems" if error.validator_value > 1:
            return f"{subject} must be two numbers, the lowest and the highest, not {shown(value)}"
        case "minItems":
            return f"{subject} must not be empty"
        case "uniqueItems":
            return f"{subject} names something twice: {shown(value)}"
    return f"{subject} must be {BOUNDS_IN_WORDS[str(rule)]} {shown(error.validator_value)}, not {shown(value)}"


def _number_hint(value: object, kinds: object) -> str:
    """Explain why ``1e-3`` is no number: YAML wants ``1.0e-3``."""
    if kinds != "number" or not isinstance(value, str):
        return ""
    try:
        return f" (YAML takes that for text; write {float(value)!r})"
    except ValueError:
        return ""
