"""A listening test in a browser, opened from disk: what is heard, what is rated, and the file that comes out."""

from __future__ import annotations

import csv
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from earmark.data.ratings import COLUMNS, read, trial_id
from earmark.metrics.ratings import QUESTIONS, REFERENCE
from earmark.page.kit import rating
from earmark.page.kit.webmushra import Trial

RATE, SAMPLES, TEST = 16000, 9600, "tones-0a1b2c3d"
ANSWER = '<b>"quoted" 🎺</b>'
TRIALS = [Trial(f"t{n}", ANSWER, f"s{n}0", (f"s{n}1", f"s{n}2", f"s{n}3")) for n in range(2)]
SILENT = "s13"
PLACES = [
    (trial_id(trial.name, question), name)
    for question in QUESTIONS
    for trial in TRIALS
    for name in (REFERENCE, *trial.stimuli)
]


def tone(name: str) -> NDArray[np.int16]:
    """Every sound is a tone of its own."""
    hertz = 200 + 40 * int(name[1:])
    return (8000 * (name != SILENT) * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE)).astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("kit")
    names = [name for trial in TRIALS for name in (trial.reference, *trial.stimuli)]
    rating.write(where, TEST, 'A "test" <of> tones', TRIALS, {name: tone(name) for name in names}, RATE)
    return where


@pytest.fixture
def page(browser: Any, folder: Path) -> Iterator[Any]:
    """The test, opened; no error may have been written to the console when it ends."""
    said: list[str] = []
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(10000)
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector("#start")
    yield page
    context.close()
    assert said == []


def wait(page: Any, condition: str) -> None:
    """Until something holds in the page; asked from outside, as the page lets no text be run as a program."""
    end = time.monotonic() + 5
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never came: {condition}"
        page.wait_for_timeout(20)


def pitch(page: Any) -> float:
    """The tone that is heard, Hz."""
    heard = np.array(page.evaluate("earmark.render().then((samples) => Array.from(samples))"))
    assert len(heard) == SAMPLES
    return float(np.abs(np.fft.rfft(heard)).argmax() * RATE / SAMPLES) if heard.any() else 0.0


def start(page: Any) -> None:
    page.fill("#listener", 'ann, "the first"')
    page.click("#start")
    page.wait_for_selector(".rows")


def rate(page: Any, points: list[int]) -> None:
    for slider, value in zip(page.locator(".row input").all(), points, strict=True):
        slider.fill(str(value))


def test_what_a_listener_rates_is_saved_as_webmushra_would(page: Any, tmp_path: Path) -> None:
    start(page)
    wanted: dict[tuple[str, str], float] = {}
    pitches = {round(200 + 40 * int(name[1:])): name for t in TRIALS for name in (t.reference, *t.stimuli)}
    asked = []
    for number in range(4):
        assert page.inner_text("#place").lower() == f"page {number + 1} of 4"
        asked.append(page.inner_text("#title"))
        page.click(".reference button")
        wait(page, "earmark.playing().playing")
        reference = pitches[round(pitch(page))]
        trial = next(one for one in TRIALS if one.reference == reference)
        question = next(name for name, one in QUESTIONS.items() if one.title == asked[-1])
        heard = []
        for play in page.locator(".row button").all():
            if play.is_disabled():
                heard.append(SILENT)
                continue
            play.click()
            heard.append(pitches[round(pitch(page))])
        assert sorted(heard) == sorted([trial.reference, *trial.stimuli])
        points = [10 * number + place for place in range(4)]
        rate(page, points)
        for name, value in zip(heard, points, strict=True):
            known = REFERENCE if name == trial.reference else name
            wanted[trial_id(trial.name, question), known] = value
        page.click("#next")
    assert asked == [question.title for question in QUESTIONS.values() for _ in TRIALS]
    with page.expect_download() as download:
        page.click("#save")
    path = tmp_path / "ann.csv"
    download.value.save_as(path)
    assert re.fullmatch(
        rf"{TEST}-[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\.csv", download.value.suggested_filename
    )
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS) and {row["listener"] for row in rows} == {'ann, "the first"'}
    assert all(int(row["rating_time"]) > 0 for row in rows)
    (session,), remarks = read([path], TEST, PLACES)
    assert session.scores == wanted and session.remarks() == remarks == []


def test_nobody_goes_on_before_all_is_rated_and_may_go_back(page: Any) -> None:
    start(page)
    assert not page.is_visible("#back")
    page.click("#next")
    assert page.inner_text("#lacking") == "4 sounds have no points yet."
    rate(page, [1, 2, 3, 4])
    assert page.inner_text("#lacking") == ""
    page.click("#next")
    wait(page, "document.querySelector('#place').textContent === 'Page 2 of 4'")
    page.locator(".row input").nth(1).press("Enter")  # in the middle is an answer too
    page.click("#next")
    assert page.inner_text("#lacking") == "3 sounds have no points yet."
    page.click("#back")
    assert page.locator(".row output").all_inner_texts() == ["1", "2", "3", "4"]
    page.click("#next")
    assert page.locator(".row output").all_inner_texts() == ["–", "50", "–", "–"]


def test_another_sound_goes_on_at_the_same_place_and_a_new_page_is_silent(page: Any) -> None:
    start(page)
    page.click(".reference button")
    wait(page, "earmark.playing().playing && earmark.playing().position > 0.1")
    page.locator(".row button:enabled").nth(1).click()
    began = page.evaluate("earmark.playing().start")
    assert page.evaluate("earmark.playing().playing") and began == page.evaluate("earmark.playing().start")
    assert sum(gain > 0 for gain in page.evaluate("earmark.playing().gains")) >= 1
    rate(page, [1, 2, 3, 4])
    page.click("#next")
    assert not page.evaluate("earmark.playing().playing")


def test_listeners_get_orders_of_their_own(page: Any) -> None:
    """Of 16 sessions not all have one order: the chance is below 1e-9."""
    orders = page.evaluate(
        """() => load("data").then((kit) => {
            const session = () => new Session(kit).pages.map(({ order }) => order.map(({ name }) => name).join());
            return Array.from({ length: 16 }, () => session().join());
        })"""
    )
    assert len(set(orders)) > 2


def test_names_are_shown_as_they_are_and_the_hidden_reference_is_not_told(page: Any) -> None:
    assert page.inner_text("h1") == 'A "test" <of> tones'
    start(page)
    assert ANSWER in page.inner_text(".asked")
    buttons = page.locator(".row button")
    assert [re.sub(r"\W+", " ", text).strip() for text in buttons.all_inner_texts()] == [
        f"Sound {n}" for n in range(1, 5)
    ]
    assert not re.search(r"\bs\d\d\b|hidden", page.inner_text("main"))


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_accessible_and_by_keyboard_alone(page: Any, look: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.set_viewport_size({"width": 360 if look == "phone" else 1280, "height": 800})
    page.emulate_media(color_scheme="dark" if look == "dark" else "light")
    keys = page.keyboard
    for _ in range(20):
        if page.evaluate("document.activeElement.id") == "start":
            break
        keys.press("Tab")
    assert Axe().run(page, options={"preload": False}).violations_count == 0
    keys.press("Enter")
    page.wait_for_selector(".rows")
    assert page.evaluate("document.activeElement.id") == "title"
    for _ in range(30):
        keys.press("Tab")
        if page.evaluate("document.activeElement.type") == "range":
            keys.press("ArrowRight")
        if page.evaluate("document.activeElement.id") == "next":
            break
    assert page.locator(".row output").all_inner_texts() == ["51"] * 4
    found = Axe().run(page, options={"preload": False})
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = page.locator("button:visible, [type=range]:visible").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().height)"
    )
    assert min(heights) >= 40
    keys.press("Enter")
    wait(page, "document.querySelector('#place').textContent === 'Page 2 of 4'")


def test_a_file_that_is_missing_is_one_sentence(browser: Any, folder: Path, tmp_path: Path) -> None:
    """The console may say so as well, hence without `page`."""
    shutil.copytree(folder, tmp_path / "kit")
    (tmp_path / "kit/files/data.js").unlink()
    page = browser.new_page()
    page.goto((tmp_path / "kit/index.html").as_uri())
    page.wait_for_selector("h1:has-text('files/data.js cannot be read')")
    page.close()


def test_it_loads_nothing_from_elsewhere(folder: Path) -> None:
    for path in (folder / "index.html", *(folder / "files" / part.name for part in rating.PARTS)):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path.name
