"""The listening page in a browser, opened from disk: what is shown, what is heard, and how it is reached."""

from __future__ import annotations

import base64
import functools
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from earmark.page.files import put
from tests.browser import sample

FIRST = "class1.conv4.info.K4"
TRACKS = "#section=tracks"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page on disk."""
    return sample.write(tmp_path_factory.mktemp("page") / "results/tones/report").as_uri()


@pytest.fixture(scope="module")
def window(browser: Any) -> Any:
    """Where pages are opened that ask for nothing special, in half the time; they change nothing that a page keeps."""
    return browser.new_context()


@pytest.fixture
def show(browser: Any, window: Any, address: str) -> Iterator[Open]:
    """Open the page; no error may have been written to the console when the test ends."""
    said: list[str] = []
    contexts = []

    def opened(link: str = "", url: str = address, ready: str = "main h2", **options: Any) -> Any:
        if options:
            contexts.append(browser.new_context(**options))
        page = (contexts[-1] if options else window).new_page()
        page.set_default_timeout(10000)
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url + link)
        page.wait_for_selector(ready)
        return page

    yield opened
    for page in window.pages:
        page.close()
    for context in contexts:
        context.close()
    assert said == []


def rendered(page: Any) -> NDArray[np.float64]:
    """The present mix, through the graph that plays it; as text of its bytes, as a list of numbers takes seconds."""
    encoded = page.evaluate("""earmark.render().then((samples) => {
        const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
        let text = "";
        for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
        return btoa(text);
    })""")
    return np.frombuffer(base64.b64decode(encoded), "<f4").astype(np.float64)


def decibels(wave: NDArray[np.float64]) -> float:
    return 20 * np.log10(max(sample.loudness(wave), 1e-12))


def assert_same(got: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
    """Equal to -60 dB."""
    assert len(got) == len(wanted)
    assert decibels(got - wanted) < decibels(wanted) - 60


def choose(page: Any, name: str, value: str) -> None:
    """A chip, by the radio button in it."""
    page.check(f"input[name={name}][value='{value}']")


def at_level(page: Any, name: str, db: float) -> None:
    page.locator(f"#level-{name}").fill(str(db))


def wait(page: Any, condition: str) -> None:
    """Until something holds in the page; asked from outside, as the page lets no text be run as a program."""
    end = time.monotonic() + 5
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never came: {condition}"
        page.wait_for_timeout(20)


def sounds_asked(page: Any) -> list[str]:
    return [key for key in page.evaluate("earmark.asked()") if key.startswith("sounds/")]


def test_opens_with_the_first_view_and_no_sound(show: Open) -> None:
    page = show()
    assert page.inner_text("main h2") == "class1, clip 1 of 3"
    assert page.evaluate("earmark.asked()") == ["data", f"views/{FIRST}", "pictures/0", "pictures/1", "pictures/2"]
    assert "relevance 10.2 · share 49 %" in page.inner_text("[data-name=concept1]")
    assert page.locator("main canvas[role=img]").count() == 6
    assert "strongest at 165 Hz, 0.08 s" in page.get_attribute("[data-name=concept1] canvas", "aria-label")


def test_opens_from_a_server_too(show: Open, address: str) -> None:
    folder = Path(address.removeprefix("file://")).parent
    server = Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page = show(url=f"http://127.0.0.1:{server.server_port}/index.html")
        page.click("#play")
        wait(page, "earmark.playing().playing")
        page.close()  # what it may be loading still has a server until then
    finally:
        server.shutdown()
        server.server_close()


class Server(ThreadingHTTPServer):
    """Takes all files of a page that are asked for at once."""

    request_queue_size = 64


class Quiet(SimpleHTTPRequestHandler):
    """Writes no log, and has the icon that browsers ask for."""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path != "/favicon.ico":
            return super().do_GET()
        self.send_response(204)
        self.end_headers()


def test_opens_without_other_pages_beside_it_where_its_files_stand_alone(show: Open, tmp_path: Path) -> None:
    assert show().get_attribute("#others a", "href") == "../../spoken-digits/report/index.html"
    start = sample.write(tmp_path / "report")
    alone = start.parent / "files/index.html"
    alone.write_text(start.read_text(encoding="utf-8").replace("files/", ""), encoding="utf-8")
    assert show(url=alone.as_uri()).is_hidden("#others")


def test_every_sound_has_its_length_and_is_heard(show: Open) -> None:
    page = show()
    for clip in range(3):
        choose(page, "clip", f"{clip:03d}")
        waves = sample.voices(4, clip)
        for name in ("input", "standard"):
            choose(page, "hear", name)
            assert_same(rendered(page), waves[name])
        for name in ("concept1", "concept2", "concept3", "rest"):
            page.click(f"#solo-{name}")
            assert_same(rendered(page), waves[name])
            page.click(f"#solo-{name}")
    assert "Silent" in page.inner_text("[data-name=concept4]")


def test_mute_solo_level_and_loudness_change_what_is_heard(show: Open) -> None:
    page = show()
    waves = sample.voices(4, 0)
    assert_same(rendered(page), waves["standard"])
    page.click("#mute-rest")
    assert_same(rendered(page), waves["input"])
    page.click("#mute-concept1")
    assert_same(rendered(page), waves["input"] - waves["concept1"])
    at_level(page, "concept2", -6)
    assert_same(rendered(page), waves["concept2"] * 10 ** (-6 / 20) + waves["concept3"] + waves["rest"])
    page.click("#solo-concept1")
    page.click("#solo-concept3")
    assert_same(rendered(page), waves["concept1"] + waves["concept3"])
    choose(page, "loudness", "matched")
    matched = [waves[name] / sample.loudness(waves[name]) for name in ("concept1", "concept3")]
    assert_same(rendered(page), sum(matched) * sample.loudness(waves["input"]))
    assert "concepts 1 and 3 together, loudness matched" in page.inner_text("#status")


def test_the_mix_changes_while_it_plays(show: Open) -> None:
    page = show()
    page.click("#play")
    wait(page, "earmark.playing().playing")
    start = page.evaluate("earmark.playing().start")
    page.click("#solo-concept2")
    gain = float(np.abs(sample.voices(4, 0)["concept2"]).max()) / 0.99
    heard = f"earmark.playing().gains.map((gain) => Math.round(1e4 * gain)).join() === '0,0,0,{gain * 1e4:.0f},0,0,0'"
    wait(page, heard)  # within milliseconds, but not at once
    at_level(page, "concept2", 6)
    wait(page, heard.replace(f"{gain * 1e4:.0f}", f"{gain * 1e4 * 10 ** (6 / 20):.0f}"))
    assert page.evaluate("earmark.playing().start") == start


def test_says_when_a_mix_is_too_loud(show: Open) -> None:
    page = show()
    page.click("#play")
    wait(page, "earmark.playing().playing")
    for name in ("concept1", "concept2", "concept3"):
        at_level(page, name, 12)
    assert "lower some levels" in page.inner_text("#warning")


def test_playhead_is_where_the_sound_is(show: Open) -> None:
    page = show()
    assert page.is_checked("#loop")  # a clip this short
    page.click("#play")
    wait(page, "earmark.playing().playing")
    late = page.evaluate(
        """([first, last, columns, seconds]) => new Promise((done) => {
            const head = document.querySelector(".playhead"), found = [];
            const step = (last - first) / (columns - 1);
            new MutationObserver(() => {
                const { time, start, offset, latency } = earmark.playing();
                const drawn = first + (parseFloat(head.style.left) / 100 * columns - 0.5) * step;
                const off = Math.abs(drawn - Math.max(0, time - latency - start + offset) % seconds);
                const inside = drawn > first && drawn < last;
                if (inside) found.push(Math.min(off, seconds - off));
                if (found.length === 40) done(found);
            }).observe(head, { attributes: true });
        })""",
        [sample.TIMES[0], sample.TIMES[-1], sample.COLUMNS, sample.SAMPLES / sample.RATE],
    )
    assert max(late) < 0.03


def test_a_click_seeks_and_changing_the_source_keeps_the_place(show: Open) -> None:
    page = show()
    stage = page.locator("section.input .stage")
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] / 2, "y": 20})
    assert page.evaluate("earmark.playing().position") == pytest.approx(0.473, abs=0.01)
    page.click("#play")
    wait(page, "earmark.playing().playing")
    start = page.evaluate("earmark.playing().start")
    choose(page, "hear", "input")
    assert page.inner_text("#status") == "Playing the input, true level."
    assert page.evaluate("earmark.playing().start") == start


def test_samples_for_and_against_a_class_are_heard_by_themselves_and_never_mixed(show: Open) -> None:
    page = show("#class=quoted&layer=conv4&method=drsa&k=2")
    mix, apart = sample.voices(2, 0), sample.audible(0)
    page.click("#mute-rest")
    assert_same(rendered(page), mix["input"])
    for name, other in (("positive", "negative"), ("negative", "positive")):
        page.click(f"#hear-{name}")
        assert_same(rendered(page), apart[name])
        assert page.get_attribute(f"#hear-{name}", "aria-pressed") == "true"
        assert page.get_attribute(f"#hear-{other}", "aria-pressed") == "false"
        assert page.is_checked(f"input[name=hear][value={name}]")
        assert not page.locator(f"#mute-{name}, #solo-{name}, #level-{name}").count()
    link = page.evaluate("location.hash")
    page.click("#hear-negative")
    assert_same(rendered(page), mix["input"])
    assert "no part of the input" in page.inner_text("[data-name=positive]")
    assert "Samples for the class alone" in page.inner_text(".says")
    again = show(link)
    assert_same(rendered(again), apart["negative"])
    elsewhere = show(link.replace("k=2", "k=4").replace("drsa", "info"))
    assert not elsewhere.locator("input[name=hear][value=negative]").count()
    assert_same(rendered(elsewhere), sample.voices(4, 0)["input"])


def test_playing_ends_where_the_clip_does(show: Open) -> None:
    page = show()
    page.uncheck("#loop")
    page.click("#play")
    wait(page, "earmark.playing().playing")
    assert len(sounds_asked(page)) == 6  # input, standard, three concepts that sound, the rest
    wait(page, "!earmark.playing().playing")
    assert page.evaluate("earmark.playing().position") == 0
    assert page.inner_text("#play") == "Play"


def test_clip_3_of_class_2_takes_three_clicks(show: Open) -> None:
    page = show()
    page.click(".chip:has-text('quoted')")
    page.click(".chip:has-text('Clip 3')")
    page.click("#play")
    wait(page, "earmark.playing().playing")
    assert page.inner_text("main h2") == f"{sample.QUOTED}, clip 3 of 3"
    assert_same(rendered(page), sample.voices(4, 2)["standard"])


def test_a_link_leads_to_what_was_shown(show: Open) -> None:
    page = show()
    choose(page, "method", "drsa")
    wait(page, "location.hash.includes('drsa')")
    choose(page, "clip", "001")
    page.click("#solo-concept2")
    at_level(page, "concept2", -3)
    choose(page, "loudness", "matched")
    wanted = rendered(page)
    link = page.evaluate("location.hash")
    again = show(link)
    assert again.inner_text("main h2") == "class1, clip 2 of 3"
    assert again.is_checked("input[name=method][value=drsa]")
    assert again.inner_text("[data-name=concept2] output") == "−3.0 dB"
    np.testing.assert_array_equal(rendered(again), wanted)
    again.go_back()  # to the empty page before it: nothing was pushed by opening
    page.go_back()
    wait(page, "document.querySelector('main h2').textContent === 'class1, clip 1 of 3'")


def test_names_that_a_link_makes_up(show: Open) -> None:
    page = show("#class=nobody&layer=conv4&k=99&section=x&clip=zzz&solo=concept9&hear=<b>&db=concept1:999")
    remarks = page.inner_text("#remarks")
    for name in ("nobody", "99", "zzz", "concept9", "section “x”", "hear “<b>”"):
        assert name in remarks
    assert page.inner_text("main h2") == "class1, clip 1 of 3"
    assert_same(rendered(page), sample.voices(4, 0)["standard"])


def test_a_view_that_was_not_computed(show: Open) -> None:
    page = show("#class=quoted&layer=conv3&method=info&k=2")
    sentence = f"info at conv3 with K = 2 for {sample.QUOTED} was not computed; shown is info at conv4 with K = 4"
    assert sentence in page.inner_text("#remarks")
    assert page.inner_text("main h2") == f"{sample.QUOTED}, clip 1 of 3"
    choose(page, "k", "2")
    page.wait_for_selector(f"text=shown is drsa at conv4 with K = 2 for {sample.QUOTED}")
    assert page.is_checked("input[name=method][value=drsa]")
    assert page.is_disabled("input[name=layer][value=conv5]")
    none = show("#class=silent")
    assert "</script> 'x' has no clips: the model answers none" in none.inner_text("#remarks")
    assert none.inner_text("main h2") == "class1, clip 1 of 3"


def test_a_control_has_maps_and_the_input_only(show: Open) -> None:
    page = show("#method=noise~0&layer=input&k=1")
    assert "Only the input can be heard here" in page.inner_text("main")
    assert_same(rendered(page), sample.voices(1, 0)["input"])
    page.click("#to-concepts")
    page.wait_for_selector("text=This method has no concepts")
    page = show("#method=random~0&layer=conv4&k=2&section=concepts")
    assert (
        "heard as loud" not in page.inner_text("main") and page.locator("main button, main [type=range]").count() == 0
    )


def test_names_are_shown_as_they_are(show: Open) -> None:
    page = show("#class=quoted")
    text = page.inner_text("body")
    for name in (sample.QUOTED, "</script> 'x'", 'a "high" <i>whistle</i>', 'tones & "noise"'):
        assert name in text
    assert page.locator("main b, main i, header b").count() == 0
    assert sample.QUOTED in page.title()


def test_concept_cards_play_their_clips(show: Open) -> None:
    page = show("#section=concepts")
    assert "25 % of the relevance (20 % to 31 %)" in page.inner_text("main")
    assert sounds_asked(page) == []
    page.click("[aria-label='Play concept 2, clip 27']")
    wait(page, "earmark.playing().playing")
    waves = sample.voices(4, 2)
    loud = sample.loudness(waves["input"]) / sample.loudness(waves["concept2"])
    assert_same(rendered(page), waves["concept2"] * loud)
    page.click("article:nth-of-type(2) [aria-label='Play input, clip 27']")
    assert_same(rendered(page), waves["input"])
    page.click("#to-listen")
    page.wait_for_selector("#play")
    assert not page.evaluate("earmark.playing().playing")  # another sound than what one heard
    assert "91 % of its positive relevance" in page.inner_text("[data-name=concept1]")


def test_explanations_side_by_side_are_heard_as_loud_as_the_clip_and_switched_while_they_play(show: Open) -> None:
    page = show("#section=beside")
    page.wait_for_selector("#beside article")
    assert [title.inner_text() for title in page.query_selector_all("#beside h3")] == ["The clip", *sample.EXPLANATIONS]
    said = page.inner_text("#beside article:nth-of-type(2)")
    assert "gain 4.10 [3.20, 5.30] nats" in said and "beats the controls" in said
    assert "Holds 20 % of the energy" in said and "clip 2.10, alone 1.30, clip without it −0.40" in said
    assert page.is_disabled("[aria-label='Silent silence']")
    assert sounds_asked(page) == []
    page.click("[aria-label='Play Input']")
    wait(page, "earmark.playing().playing")
    waves = sample.voices(4, 0)
    assert_same(rendered(page), waves["input"])
    start = page.evaluate("earmark.playing().start")
    page.click("[aria-label='Play energy']")
    loud = sample.loudness(waves["input"]) / sample.loudness(waves["concept1"])
    assert_same(rendered(page), waves["concept1"] * loud)
    assert page.evaluate("earmark.playing().start") == start
    page.click("#other-clip label:nth-of-type(2)")
    page.wait_for_selector("#beside :text('clip 17 of the data set')")
    assert "clip without it –." in page.inner_text("#beside article:nth-of-type(2)")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#beside :text('clip 27 of the data set')")
    assert page.evaluate("document.activeElement.value") == "27" and "compare=27" in page.url
    assert "gain 1.20 nats over all clips" in page.inner_text("#beside article:nth-of-type(3)")
    assert "“99” is not among those" in show("#section=beside&compare=99", ready=".notice").inner_text("#remarks")


def test_nothing_stands_side_by_side_where_nothing_was_compared(show: Open, tmp_path: Path) -> None:
    page = show(url=sample.write(tmp_path / "report", sections=["listen", "tables"]).as_uri())
    assert page.query_selector("#to-tables") and not page.query_selector("#to-beside")


def test_a_track_is_heard_across_its_pieces_as_its_sounds_are(show: Open) -> None:
    page = show(TRACKS, ready="#zoom-in")
    waves = sample.song()
    assert page.evaluate("earmark.asked()")[-1] == f"tracks/{sample.TRACK}.{FIRST}"  # and no sound
    assert_same(rendered(page), waves["standard"])
    page.click("#mute-rest")
    assert_same(rendered(page), waves["input"])
    page.click("#solo-concept2")
    at_level(page, "concept2", -6)
    assert_same(rendered(page), waves["concept2"] * 10 ** (-6 / 20))
    choose(page, "hear", "input")
    choose(page, "loudness", "matched")
    assert_same(rendered(page), waves["input"])
    assert "Silent" in page.inner_text("[data-name=concept3]")
    assert "cut short" in page.inner_text("#desk")
    again = show(page.evaluate("location.hash"), ready="#zoom-in")
    assert again.inner_text("[data-name=concept2] output") == "−6.0 dB"
    assert "the input, loudness matched" in again.inner_text("#status")


def test_a_track_plays_on_over_the_end_of_a_piece_and_from_where_it_is_clicked(show: Open) -> None:
    page = show(TRACKS, ready="#zoom-in")
    stage = page.locator(".lanes .stage").bounding_box()
    place = 0.388  # 9.7 of 25 s
    page.mouse.click(stage["x"] + place * stage["width"], stage["y"] + 20)
    wait(page, "earmark.playing().playing && earmark.playing().position > 10.1")
    told = page.evaluate("earmark.playing()")
    assert abs(told["offset"] - place * sample.TRACK_SECONDS) < 0.1  # a pixel is .03 s
    assert abs(told["position"] - (told["time"] - told["latency"] - told["start"] + told["offset"])) < 0.03
    page.click("#solo-concept1")
    wait(page, "earmark.playing().gains.map(Math.round).join() === '0,0,1,0,0,0,0'")
    at_level(page, "concept1", 12)
    assert "lower some levels" in page.inner_text("#warning")
    page.click("#play")
    assert not page.evaluate("earmark.playing().playing")
    page.locator("#position").fill("24.8")
    page.click("#play")
    wait(page, "!earmark.playing().playing && earmark.playing().position === 0")


def test_a_track_that_stalls_twice_goes_on_with_one_piece(show: Open) -> None:
    page = show(TRACKS, ready="#zoom-in")
    late = page.evaluate(
        """() => {
            let now = 0;
            const context = { get currentTime() { return now += 0.5; } };
            const output = { setValueAtTime() {}, linearRampToValueAtTime() {} };
            const graph = { output }, late = [];
            const reel = Object.assign(new Reel(16000), { graph, start: Infinity, offset: 5 });
            reel.set = { piece: 10, seconds: 30, sounds: [{ pieces: [] }], gains: () => [], changed() {} };
            reel.piece = async (_, number) => { now += [0, 20, 7][number]; return []; };
            reel.hand = (...[, , , number]) => late.push(reel.start + Math.max(0, number * 10 - reel.offset) < now);
            return reel.feed(context, reel.set, graph).then(() => late);
        }"""
    )
    assert late == [False] * 3


def test_keys_solo_concepts_of_a_track_and_leave_its_link_alone(show: Open) -> None:
    page = show(TRACKS, ready="#zoom-in")
    link, steps = page.evaluate("location.hash"), page.evaluate("history.length")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[location.hash, history.length]") == [link, steps]
    page.keyboard.press("2")
    assert "concept 2 alone" in page.inner_text("#status")
    page.evaluate("location.hash += '&level=matched'")
    wait(page, "document.querySelector('#status').textContent.includes('matched')")


def test_the_time_line_of_a_track_is_zoomed_and_moved_by_keys(show: Open) -> None:
    page = show(TRACKS, ready="#zoom-in")
    ticks = ".lanes .times span:not([hidden])"
    assert page.locator(ticks).first.inner_text() == "0:00"
    assert page.is_disabled("#zoom-out") and page.is_disabled("#later")
    page.focus(".lanes .stage")
    page.keyboard.press("ArrowRight")
    wait(page, "earmark.playing().position > 0.4 || earmark.playing().offset > 0.4")
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert page.is_enabled("#later") and page.is_enabled("#zoom-out")
    page.click("#later")
    wait(page, "document.querySelector('.lanes .times span').textContent !== '0:00'")
    page.click("#zoom-whole")
    assert page.locator(ticks).first.inner_text() == "0:00" and page.is_disabled("#zoom-whole")
    labels = page.locator(".lanes canvas").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert labels[0] == "Waveform, 0:25.0 long"
    assert labels[1].startswith("Relevance of concept 1 over time: 60 % of what speaks for the class, most at 0:")
    assert sum(label.startswith("Logit of ") for label in labels) == 3


def test_a_track_that_was_not_explained_so_leads_to_where_it_was(show: Open) -> None:
    page = show(f"{TRACKS}&class=quoted", ready="#desk button")
    assert f"not explained as info at conv4 with K = 4 for {sample.QUOTED}" in page.inner_text("#desk")
    page.click("#desk button")
    page.wait_for_selector("#zoom-in")
    assert "class=class1" in page.url
    assert page.inner_text("main h2") == 'my "song" <i>🎵</i>.mp3' and page.locator("main i").count() == 0


def test_a_page_of_a_track_alone_opens_with_it(show: Open, tmp_path: Path) -> None:
    where = sample.write(tmp_path / "report", sections=["tracks", "notes"], tables=[], figures=[], accuracy=None)
    nothing: dict[str, list[Any]] = {name: [] for name in ("summary", "clips", "concepts", "notes")}
    named = dict(zip(("cls", "layer", "method", "k"), sample.VIEWS[0], strict=True))
    put(where.parent / "files", f"views/{FIRST}", {"id": FIRST, **named, **nothing})
    page = show(url=where.as_uri(), ready="#zoom-in")
    assert page.locator("#sections a").all_inner_texts() == ["Tracks", "Notes"]
    assert_same(rendered(page), sample.song()["standard"])
    page.keyboard.press("2")
    assert_same(rendered(page), sample.song()["concept2"])
    unknown = show("#solo=concept99", url=where.as_uri(), ready=".notice")
    assert "no sound called “concept99”" in unknown.inner_text("#remarks") and "concept99" not in unknown.url


def test_tables_show_the_rows_of_the_view(show: Open) -> None:
    page = show("#section=tables")
    assert not any(key.startswith("tables/") for key in page.evaluate("earmark.asked()"))
    page.click("summary:has-text('flipping')")
    page.wait_for_selector("text=60 of 60 rows")
    assert set(page.locator("tbody tr td:nth-child(2)").all_inner_texts()) == {"info"}
    page.check("text=All rows")
    page.wait_for_selector("text=200 of 480 rows")
    page.click("text=Show 200 more")
    assert page.locator("tbody tr").count() == 400
    page.reload()
    page.wait_for_selector("text=200 of 480 rows")
    page.uncheck("text=All rows")
    page.reload()
    page.wait_for_selector("text=60 of 60 rows")


def test_inputs_without_scales_and_models_of_many_labels(show: Open, tmp_path: Path) -> None:
    where = sample.write(tmp_path / "report", hertz=None, times=None, multi_label=True, accuracy=None)
    page = show(url=where.as_uri())
    assert "strongest at row 10, column 4" in page.get_attribute("[data-name=concept1] canvas", "aria-label")
    assert "row" in page.inner_text("section.input .plot")
    assert "The model says class1 (logit of class1: 1.60)" in page.inner_text("section.input")
    assert f"says {sample.QUOTED}" in page.inner_text(".says")
    assert "says none of them" not in page.inner_text(".says")


def test_nothing_was_explained(show: Open, tmp_path: Path) -> None:
    where = sample.write(tmp_path / "report", views=[])
    page = show(url=where.as_uri(), ready="main p:has-text('Nothing of this data set was explained')")
    assert "has no clips" in page.inner_text("#remarks")


def test_many_classes_are_a_list(show: Open) -> None:
    page = show()
    page.evaluate(
        """() => {
            const options = Array.from({ length: 13 }, (_, i) => ({ value: `v${i}`, text: `<b>${i}</b>` }));
            const choose = (value) => window.chosen = value;
            document.querySelector("main").append(choice("many", "Many", options, "v2", choose));
        }"""
    )
    assert page.input_value("#many select") == "v2"
    page.select_option("#many select", label="<b>12</b>")
    assert page.evaluate("chosen") == "v12"


def test_figures_of_the_view_come_first(show: Open) -> None:
    page = show("#section=figures")
    images = page.locator("main img")
    assert images.evaluate_all("all => all.map((one) => [one.loading, one.alt !== ''])") == [["lazy", True]] * 2
    assert 'Learning <b>"all"</b>' in page.inner_text(".figures >> nth=0")
    assert page.locator("details img").count() == 1
    wait(page, "document.querySelector('main img').naturalWidth > 0")


@pytest.mark.parametrize("look", ["light", "dark", "phone", "dark phone"])
def test_accessible(show: Open, look: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = show(
        "#class=nobody",
        viewport={"width": 360 if "phone" in look else 1280, "height": 800},
        color_scheme="dark" if "dark" in look else "light",
    )
    for section in ("listen", "concepts", "beside", "tracks", "tables", "figures", "notes"):
        page.click(f"#to-{section}")
        page.wait_for_selector("#zoom-in" if section == "tracks" else f"#{section}-title")
        if section == "beside":
            page.wait_for_selector("#other-clip")
        if section == "tables":
            page.click("summary >> nth=0")
            page.wait_for_selector("tbody tr")
        found = Axe().run(page, options={"preload": False})
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        controls = page.locator("button:visible, select:visible, .chip:visible, [type=range]:visible, summary:visible")
        heights = controls.evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
        assert min(heights) >= 40


def test_light_and_dark(show: Open) -> None:
    page = show(color_scheme="light")
    corner = "document.querySelector('section.input canvas').getContext('2d').getImageData(0, 0, 1, 1).data[0]"
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("#theme")
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    assert page.evaluate(corner) < 128
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.wait_for_selector("main h2")
    assert page.evaluate(ground) == dark


def test_keyboard_alone(show: Open) -> None:
    page = show()
    keys = page.keyboard
    keys.press("Tab")
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    until(page, lambda: page.evaluate("document.activeElement.name") == "cls")
    keys.press("ArrowRight")
    wait(page, "document.querySelector('main h2').textContent.startsWith('<b>')")
    assert page.evaluate("document.activeElement.value") == "quoted"
    until(page, lambda: page.evaluate("document.activeElement.id") == "play")
    keys.press("Space")
    wait(page, "earmark.playing().playing")
    keys.press("2")
    assert "concept 2 alone" in page.inner_text("#status")
    keys.press("ArrowDown")
    assert "concept 3 alone" in page.inner_text("#status")
    keys.press("m")
    assert "concepts 1 and 2 together" in page.inner_text("#status")
    keys.press("0")
    keys.press("ArrowRight")
    wait(page, "document.querySelector('main h2').textContent.endsWith('clip 2 of 3')")
    assert page.evaluate("document.activeElement.id") == "play"
    wait(page, "earmark.playing().playing")
    page.evaluate("document.activeElement.blur()")
    place = page.evaluate("scrollY")
    keys.press("Space")
    assert not page.evaluate("earmark.playing().playing")
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") == place


def test_keyboard_alone_in_other_sections(show: Open) -> None:
    page = show("#section=concepts")
    keys, spoken = page.keyboard, "document.activeElement.getAttribute('aria-label')"
    for section, play, position in (
        ("concepts", "Play concept 1, clip 27", "Position in clip 27, concept 1, in seconds"),
        ("beside", "Play Input", "Position in seconds"),
    ):
        until(page, lambda section=section: page.evaluate("document.activeElement.id") == f"to-{section}")
        keys.press("Enter")
        page.wait_for_selector(f"[aria-label='{play}']")
        until(page, lambda play=play: page.evaluate(spoken) == play)
        keys.press("Enter")
        wait(page, "earmark.playing().playing")
        keys.press("Enter")
        until(page, lambda position=position: page.evaluate(spoken) == position, back=section == "beside")
        before = page.evaluate("earmark.playing().position")
        keys.press("ArrowRight")
        assert page.evaluate("earmark.playing().position") == pytest.approx(before + 0.00945, abs=1e-3)
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.focus("#theme")
    until(page, lambda: page.evaluate("document.activeElement.id") == "to-tracks")
    keys.press("Enter")
    page.wait_for_selector("#zoom-in")
    until(page, lambda: page.evaluate("document.activeElement.id") == "play")
    keys.down("Space")
    keys.up("Space")
    wait(page, "earmark.playing().playing")
    keys.press("1")
    assert "concept 1 alone" in page.inner_text("#status")


def test_a_key_that_is_held_plays_once(show: Open) -> None:
    page = show()
    for _ in range(4):
        page.keyboard.down("Space")  # all but the first say that they repeat it
    wait(page, "earmark.playing().playing")


def until(page: Any, reached: Callable[[], bool], back: bool = False) -> None:
    """Press Tab until the focus is where it is wanted."""
    for _ in range(90):
        if reached():
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    pytest.fail("Tab does not lead there")


def test_controls_keep_their_keys(show: Open) -> None:
    page = show("#hear=input")
    page.focus("#level-concept1")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("[data-name=concept1] output") == "−0.5 dB"
    assert page.is_checked("input[name=hear][value=mix]")  # or it would change nothing
    page.focus("#position")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("earmark.playing().position") == pytest.approx(0.00945, abs=1e-4)
    assert page.inner_text("main h2") == "class1, clip 1 of 3"
    page.focus("#solo-concept1")
    page.keyboard.press("Space")
    assert page.get_attribute("#solo-concept1", "aria-pressed") == "true"
    assert not page.evaluate("earmark.playing().playing")


def test_a_file_that_is_missing_is_one_sentence(browser: Any, tmp_path: Path) -> None:
    """The console may say so as well, hence without `show`."""
    where = sample.write(tmp_path / "report")
    files = where.parent / "files"
    (files / f"sounds/{FIRST}/000-rest.js").unlink()
    (files / "views/quoted.conv4.info.K4.js").unlink()
    page = browser.new_page()
    page.goto(where.as_uri())
    page.click("#play")
    page.wait_for_selector("#status:has-text('000-rest.js cannot be read')")
    choose(page, "cls", "quoted")
    page.wait_for_selector("#remarks:has-text('cannot be read')")
    choose(page, "cls", "class1")
    page.wait_for_selector("main h2")
    (files / "data.js").unlink()
    page.reload()
    page.wait_for_selector("main:has-text('files/data.js cannot be read')")
    page.close()


def test_a_view_that_fails_is_silent_and_is_asked_for_again(browser: Any, tmp_path: Path) -> None:
    where = sample.write(tmp_path / "report")
    picture = where.parent / "files/pictures/2.js"
    content = picture.read_bytes()
    (where.parent / "files/views/quoted.conv4.info.K4.js").unlink()
    page = browser.new_page()
    page.goto(where.as_uri())
    page.click("#play")
    wait(page, "earmark.playing().playing")
    choose(page, "cls", "quoted")
    page.wait_for_selector("text=This view cannot be shown")
    assert not page.evaluate("earmark.playing().playing")
    picture.unlink()
    page.reload()
    page.wait_for_selector("#remarks:has-text('cannot be read')")
    picture.write_bytes(content)
    choose(page, "method", "drsa")
    page.wait_for_selector("main h2")
    choose(page, "method", "info")
    page.wait_for_selector("main h2")
    page.wait_for_selector(".lead:has-text('info at conv4')")
    page.close()


def test_what_is_not_known_is_a_dash_and_a_map_without_evidence_has_no_peak(show: Open) -> None:
    page = show()
    assert page.evaluate("[percent(null), show(null), logitText(null)]") == ["–"] * 3
    cells = "{ rows: 1, columns: 2, low: -1, high: 1, bytes: Uint8Array.of(127, 3) }"
    assert page.evaluate(f"speaking({cells}, {{}})") == "no cell speaks for the class"


def test_no_other_script_runs(browser: Any, address: str) -> None:
    """The console says so, hence without `show`."""
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("main h2")
    page.evaluate("document.body.append(make('script', {}, 'document.title = 1'))")
    page.evaluate("document.body.append(make('img', { onerror: \"document.title = 1\", src: 'nothing' }))")
    assert page.evaluate("fetch('https://example.org').then(() => '', (error) => error.name)") == "TypeError"
    assert page.title() != "1"
    page.close()


def test_page_is_small_and_loads_nothing_from_elsewhere() -> None:
    parts = [path for path in sample.PAGE.iterdir() if path.suffix in (".html", ".css", ".js")]
    assert sum(path.stat().st_size for path in parts) < 150_000
    for path in parts:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path.name
