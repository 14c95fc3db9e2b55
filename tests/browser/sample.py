"""A page's folder as the workflow writes it: a second of a few tones, and concepts that take them apart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot
from numpy.typing import NDArray

from earmark.page.files import cells, put, put_sound, stored

PAGE = Path(__file__).parents[2] / "src/earmark/page"
RATE = 16000
SAMPLES = 15120  # .945 s
AUDIBLE = ("positive", "negative")
ROWS, COLUMNS = 48, 60
HERTZ = np.geomspace(60, 7000, ROWS)
TIMES = np.linspace(0.016, 0.93, COLUMNS)
QUOTED = '<b>"quoted" 🎺</b>'
CLASSES = [("class1", "class1"), ("quoted", QUOTED), ("silent", "</script> 'x'")]
NAMES = ["modulating bass", 'a "high" <i>whistle</i>', "onsets", ""]
VIEWS = [
    ("class1", "conv4", "info", 4),
    ("class1", "conv4", "info", 2),
    ("class1", "conv4", "drsa", 4),
    ("class1", "conv3", "info", 4),
    ("quoted", "conv4", "info", 4),
    ("quoted", "conv4", "drsa", 2),
    ("class1", "input", "noise~0", 1),
    ("class1", "conv4", "random~0", 2),
]
"""Not every combination: DRSA has no conv3, the second class no K = 2 of info. The last two are seen, not heard."""

ON_SAMPLES = "quoted.conv4.drsa.K2"
"""The view that has sounds of samples too."""

Waves = dict[str, NDArray[np.float64]]


def voices(k: int, clip: int) -> Waves:
    """A clip's sounds by their names: the concepts sum to the standard explanation, with the rest to the input."""
    t = np.arange(SAMPLES) / RATE
    tones = [
        np.sin(2 * np.pi * 160 * 2**n * t * (1 + 0.02 * clip)) * (1 + np.sin(2 * np.pi * (3 + n) * t + clip)) / 2
        for n in range(k)
    ]
    sounds = {f"concept{n + 1}": tone * 0.3 / 2.5**n for n, tone in enumerate(tones)}
    if k == 4:
        sounds["concept4"] = np.zeros(SAMPLES)  # nothing is heard of an empty concept
    standard = sum(sounds.values(), np.zeros(SAMPLES))
    rest = 0.02 * np.random.default_rng(clip).standard_normal(SAMPLES)
    return {"input": standard + rest, "standard": standard, **sounds, "rest": rest}


def audible(clip: int) -> Waves:
    """What speaks for a class and against it, sample by sample: no parts of the input."""
    whole = voices(2, clip)["input"]
    relevance = np.sin(np.arange(SAMPLES) / 50)
    return {name: np.clip(sign * relevance, 0, None) * whole for name, sign in zip(AUDIBLE, (1, -1), strict=True)}


def heat(n: int, clip: int) -> NDArray[np.float64]:
    """Where a voice sounds, as relevance [F, T]: some of it speaks against the class."""
    near = np.exp(-(((np.log2(HERTZ) - np.log2(160 * 2**n * (1 + 0.02 * clip))) / 0.3) ** 2))
    swing = (1 + np.sin(2 * np.pi * (3 + n) * TIMES + clip)) / 2
    against = 0.3 * np.exp(-(((np.log2(HERTZ) - np.log2(3500)) / 0.2) ** 2))
    return np.outer(near, swing) * 0.1 / (n + 1) - np.outer(against, swing) * 0.1 / (n + 2)


def loudness(wave: NDArray[np.float64]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(wave**2)))


def heard(names: list[str], waves: Waves, files: Path, view: str, clip: int) -> Iterator[dict[str, Any]]:
    """Some of a clip's sounds, written, and what a model might say of each."""
    for n, name in enumerate(names):
        key = f"sounds/{view}/{clip:03d}-{name}"
        silent = not waves[name].any()
        gain = 0.0 if silent else put_sound(files, key, waves[name], RATE)
        matched = gain if silent else gain * loudness(waves["input"]) / loudness(waves[name])
        says = [1.5 - 0.4 * n, -0.6 + 0.2 * n, -0.3]
        yield {"name": name, "key": None if silent else key, "gain": gain, "matched": matched, "heard": says}


def clip_of(files: Path, view: str, k: int, clip: int, sounding: bool) -> dict[str, Any]:
    """One clip of a view."""
    heats = [heat(n, clip) for n in range(k)]
    total = sum(heats, np.zeros((ROWS, COLUMNS)))
    limit = float(np.abs(total).max())
    maps = [("standard", total), *((f"concept{n + 1}", one) for n, one in enumerate(heats))]
    waves = voices(k, clip) | (audible(clip) if view == ON_SAMPLES else {})
    names = list(waves) if sounding else ["input"]
    return {
        "folder": f"{clip:03d}",
        "path": f"class1/00{clip}7.wav",
        "clip": 10 * clip + 7,
        "seconds": SAMPLES / RATE,
        "answers": [1.6, -0.7, -0.25],
        "cls_logit": 1.6,
        "picture": picture(files, clip),
        "limit": limit,
        "maps": [
            {"name": name, "cells": cells(one, -limit, limit), "sum": one.sum(), "share": one.sum() / total.sum()}
            for name, one in maps
        ],
        "sounds": list(heard(names, waves, files, view, clip)),
    }


def picture(files: Path, clip: int) -> dict[str, Any]:
    """The input as the network sees it, written."""
    noise = np.random.default_rng(clip).uniform(0, 0.4, (ROWS, COLUMNS))
    loud = 40 * sum(np.clip(heat(n, clip), 0, None) for n in range(4))
    put(files, f"pictures/{clip}", cells(-4 + loud + noise, -4, 1))
    return stored(f"pictures/{clip}")


def concept_of(files: Path, view: str, number: int, sounding: bool) -> dict[str, Any]:
    """The card of a concept."""
    profile = np.clip(heat(number - 1, 0), 0, None)
    share = 0.5 / number
    tops = []
    for rank, clip in enumerate([2, 0], start=1):
        one = heat(number - 1, clip)
        limit = float(np.abs(one).max())
        waves = voices(4, clip)
        pair = {"input": waves["input"], "concept": waves[f"concept{number}"]}
        own = f"{view}/cards/concept{number}"
        tops.append(
            {
                "rank": rank,
                "path": f"class1/00{clip}7.wav",
                "clip": 10 * clip + 7,
                "relevance": one.sum(),
                "share": share,
                "picture": picture(files, clip),
                "limit": limit,
                "map": cells(one, -limit, limit),
                "sounds": list(heard(list(pair) if sounding else [], pair, files, own, clip)),
            }
        )
    return {
        "number": number,
        "share": share,
        "interval": [share - 0.05, share + 0.06] if number < 3 else None,
        "name": NAMES[number - 1],
        "evidence": "91 % of its positive relevance lies on it" if NAMES[number - 1] else "",
        "remarks": ["empty: less than 1 % of the relevance"] if number == 4 else ["found again in 5 of 6 networks"],
        "profile": cells(profile, 0, profile.max()),
        "clips": tops,
    }


def view_of(files: Path, cls: str, layer: str, method: str, k: int) -> dict[str, Any]:
    """All of one view, its sounds written."""
    view = f"{cls}.{layer}.{method}.K{k}"
    control = "~" in method
    return {
        "id": view,
        "cls": cls,
        "layer": layer,
        "method": method,
        "k": k,
        "summary": [
            {"label": "Concepts in effect", "value": f"2.3 of {k}", "note": "exp of the entropy of concepts' shares"},
            {"label": "Patch flipping", "value": "0.21", "note": "[0.17, 0.26], lower is better"},
        ],
        "clips": [clip_of(files, view, k, clip, not control) for clip in range(3)],
        "concepts": [] if layer == "input" else [concept_of(files, view, n + 1, not control) for n in range(k)],
        "notes": ["Two of ten clips were left out: the model answers them wrongly."],
    }


EXPLANATIONS = {"drsa at conv4, K = 4": "standard", "energy": "concept1", "silence": "concept4"}
"""What stands side by side, and which sound of a clip each is here."""


BOUNDS, UNBOUND = {"interval": [3.2, 5.3]}, {"interval": None}


def explanations() -> list[dict[str, Any]]:
    """What is said of them over all clips."""
    return [
        {"id": "drsa at conv4, K = 4", "title": "by DRSA", "control": False, "claim": True, "gain": 4.1, **BOUNDS},
        {"id": "energy", "title": "loudest cells first", "control": True, "claim": False, "gain": 1.2, **UNBOUND},
        {"id": "silence", "title": "nothing", "control": True, "claim": False, "gain": None, **UNBOUND},
    ]


def beside(files: Path) -> dict[str, Any]:
    """The clips of a class with all explanations of each, their sounds written."""
    return {"clips": [beside_of(files, clip) for clip in range(3)]}


def beside_of(files: Path, clip: int) -> dict[str, Any]:
    """One of these clips."""
    waves = voices(4, clip)
    own = {"input": waves["input"]} | {name: waves[sound] for name, sound in EXPLANATIONS.items()}
    one = heat(0, clip)
    limit = float(np.abs(one).max())
    about = {"map": cells(one, -limit, limit), "limit": limit, "energy": 0.2}
    odds = {"logodds": 2.1, "logodds_in": 1.3, "logodds_out": -0.4 if clip == 0 else None}
    return {
        "clip": 10 * clip + 7,
        "path": f"class1/00{clip}7.wav",
        "picture": picture(files, clip),
        "shown": [{"id": name, **about, **odds} for name in EXPLANATIONS],
        "sounds": list(heard(list(own), own, files, "beside", clip)),
    }


TRACK, TRACK_SECONDS, PIECE = "my-song", 25, 10
"""A recording of three pieces, the last shorter than the others."""


def song() -> Waves:
    """Its sounds by their names: the concepts sum to the standard explanation, with the rest to the input."""
    t = np.arange(TRACK_SECONDS * RATE) / RATE
    rest = 0.02 * np.random.default_rng(7).standard_normal(len(t))
    early = 0.4 * np.sin(2 * np.pi * 220 * t) * (t < 12)
    late = 0.2 * np.sin(2 * np.pi * 880 * t) * (t > 6)
    concepts = {"concept1": early, "concept2": late, "concept3": np.zeros_like(t), "concept4": 0.1 * late}
    standard = sum(concepts.values(), np.zeros_like(t))
    return {"input": standard + rest, "standard": standard, **concepts, "rest": rest}


def track(files: Path) -> list[dict[str, Any]]:
    """A recording that is explained as a whole, its sounds written piece by piece; how it is listed."""
    cls, layer, method, k = VIEWS[0]
    entry = {
        "id": f"{TRACK}.{cls}.{layer}.{method}.K{k}",
        "track": TRACK,
        "file": 'my "song" <i>🎵</i>.mp3',
        "seconds": TRACK_SECONDS,
        "cls": cls,
        "layer": layer,
        "method": method,
        "k": k,
    }
    waves, sounds = song(), []
    for name, wave in waves.items():
        pieces = []
        for number, start in enumerate(range(0, len(wave), PIECE * RATE)):
            part = wave[start : start + PIECE * RATE]
            key = f"tracks/{entry['id']}/{name}/{number:04d}" if part.any() else None
            pieces.append({"key": key, "gain": put_sound(files, key, part, RATE) if key else 0.0})
        matched = loudness(waves["input"]) / loudness(wave) if wave.any() else 0.0
        first = next((piece["key"] for piece in pieces if piece["key"]), None)
        sounds.append({"name": name, "key": first, "gain": 1.0, "matched": matched, "heard": [1.0, -0.5, -0.2]})
        sounds[-1]["pieces"] = pieces
    outline = waves["input"].reshape(-1, RATE // 100)
    scores = np.stack([np.abs(waves[f"concept{n + 1}"]).reshape(-1, RATE // 10).mean(axis=1) for n in range(4)])
    answers = np.stack([np.linspace(-1, 2, 40), np.linspace(1, -1, 40), np.full(40, -0.5)])
    about = {
        "piece": PIECE,
        "wave": cells(np.stack([outline.min(axis=1), outline.max(axis=1)]), -1, 1),
        "wave_step": 0.01,
        "scores": cells(scores, -scores.max(), scores.max()),
        "score_times": [0.05, TRACK_SECONDS - 0.05],
        "shares": [0.6, 0.3, 0.0, 0.1],
        "answers": cells(answers, -1, 2),
        "answer_times": np.linspace(0.5, TRACK_SECONDS - 0.5, 40).tolist(),
        "mean": answers.mean(axis=1).tolist(),
        "sounds": sounds,
        "remarks": ["cut short: its end is missing"],
    }
    put(files, f"tracks/{entry['id']}", {**entry, **about})
    return [entry]


def flipping() -> dict[str, Any]:
    """A long table that tells views apart."""
    rows = [
        [layer, method, k, cls, f"metric{n}", 0.1 * n + 0.01 * k, "" if n else -0.5]
        for n in range(60)
        for cls, layer, method, k in VIEWS
    ]
    return {"columns": ["layer", "method", "k", "cls", "metric", "estimate", "low"], "rows": rows}


def curve(path: Path) -> None:
    """A small figure."""
    figure, axes = pyplot.subplots(figsize=(4, 2.5))
    axes.plot(1 - np.exp(-np.arange(30) / 8))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def write(report: Path, **changes: Any) -> Path:
    """Write the whole folder.

    Parameters
    ----------
    report : Path
        Where; made if it is not there.
    **changes
        What the page is to know otherwise at opening.

    Returns
    -------
    Path
        The page to open.
    """
    files = report / "files"
    files.mkdir(parents=True)
    shutil.copy(PAGE / "index.html", report)
    for part in [*PAGE.glob("*.js"), PAGE / "page.css"]:
        shutil.copy(part, files)
    views = [view_of(files, *view) for view in VIEWS]
    for view in views:
        put(files, f"views/{view['id']}", view)
    tables = {"flipping": flipping(), "model": {"columns": ["metric", "estimate"], "rows": [["accuracy", 0.985]]}}
    for name, table in tables.items():
        put(files, f"tables/{name}", table)
    for cls, _ in CLASSES[:2]:
        put(files, f"beside/{cls}", beside(files))
    curve(files / "figures/learning.png")
    put(files, "data", data_of(views, tables) | {"tracks": track(files)} | changes)
    return report / "index.html"


def data_of(views: list[dict[str, Any]], tables: dict[str, Any]) -> dict[str, Any]:
    """What the page knows at opening."""
    named = {"layer", "method", "k", "cls"}
    of_none = {"cls": None, "layer": None, "method": None, "k": None}
    alt = "The logit's objective grows, then stays."
    return {
        "dataset": 'tones & "noise"',
        "others": ["spoken-digits"],
        "kind": "log-mel",
        "unit": "log10 magnitude",
        "rate": RATE,
        "hertz": HERTZ.tolist(),
        "times": [TIMES[0], TIMES[-1]],
        "classes": [
            {"slug": slug, "name": name, "clips": 10, "left_out": 2, "reason": ""} for slug, name in CLASSES[:2]
        ]
        + [
            {
                "slug": CLASSES[2][0],
                "name": CLASSES[2][1],
                "clips": 0,
                "left_out": 10,
                "reason": "the model answers none of its clips rightly.",
            }
        ],
        "explanations": explanations(),
        "sections": ["listen", "concepts", "beside", "tracks", "tables", "figures", "notes"],
        "answers": [name for _, name in CLASSES],
        "multi_label": False,
        "split": "main",
        "accuracy": 0.985,
        "layers": ["conv3", "conv4", "conv5"],
        "methods": [
            {
                "name": "info",
                "title": "subspaces that tell most about the place",
                "layered": True,
                "control": False,
                "heard": True,
            },
            {
                "name": "drsa",
                "title": "subspaces of equal, high relevance",
                "layered": True,
                "control": False,
                "heard": True,
            },
            {"name": "noise~0", "title": "random numbers", "layered": False, "control": True, "heard": False},
            {"name": "random~0", "title": "random subspaces", "layered": True, "control": True, "heard": False},
        ],
        "ks": [2, 4],
        "views": [{name: view[name] for name in ("id", "cls", "layer", "method", "k")} for view in views],
        "tables": [
            {
                "key": f"tables/{name}",
                "name": name,
                "title": f"Table of <{name}>",
                "columns": table["columns"],
                "rows": len(table["rows"]),
                "keyed": [column for column in table["columns"] if column in named],
            }
            for name, table in tables.items()
        ],
        "figures": [
            {"file": "figures/learning.png", "title": "Learning of conv3", "alt": alt, **of_none, "layer": "conv3"},
            {"file": "figures/learning.png", "title": 'Learning <b>"all"</b>', "alt": alt, **of_none},
        ],
        "notes": ["Made of tones, for trying the page."],
    }
