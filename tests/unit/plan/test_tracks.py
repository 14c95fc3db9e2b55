"""Recordings that are explained as a whole: what they are called, and what `make track` asks for."""

import copy

import pytest

from earmark.errors import EarmarkError
from earmark.plan import targets, tracks
from earmark.plan.config import validate
from earmark.plan.methods import method_of

CONFIG = {"datasets": {"synthetic": {"grid": {"layers": ["conv3", "conv4", "conv5"], "methods": ["info", "random~0"]}}}}


def configured(*listed):
    raw = copy.deepcopy(CONFIG)
    raw["datasets"]["synthetic"]["tracks"] = [{"file": one} if isinstance(one, str) else one for one in listed]
    return validate(raw)


@pytest.fixture
def song(tmp_path):
    path = tmp_path / 'my "so\'ng" $x {y} 🎵.wav'
    path.write_bytes(b"")
    return str(path)


def told(**values):
    return {f"EARMARK_TRACK_{key}": value for key, value in values.items()}


@pytest.mark.parametrize(
    ("file", "name"),
    [("~/My Song.mp3", "my-song"), ("a/Ünïcode.wav", "unicode"), ("x/ça va?.flac", "ca-va"), ("b" * 300, "b" * 100)],
)
def test_a_track_is_called_after_its_file(file, name):
    assert tracks.name_of({"file": file, "name": None}) == name
    assert tracks.name_of({"file": file, "name": "other"}) == "other"


def test_a_name_without_latin_letters_is_a_digest():
    names = {tracks.name_of({"file": f"{text}.wav", "name": None}) for text in ("🎵", "歌", "песня")}
    assert len(names) == 3 and all(name.startswith("track-") and len(name) == 14 for name in names)


def test_two_tracks_of_one_name_are_a_sentence():
    config = configured("a/song.wav", "b/Song.mp3")
    with pytest.raises(EarmarkError, match="two tracks are called song: give one of them another `name`"):
        tracks.check(config, "synthetic")
    tracks.check(configured("a/song.wav", {"file": "b/song.wav", "name": "song-2"}), "synthetic")


def test_a_class_that_the_model_does_not_know_is_a_sentence():
    config = configured({"file": "song.wav", "classes": ["class3"]})
    with pytest.raises(EarmarkError, match="song is to be explained for class3, no class; did you mean class"):
        tracks.check(config, "synthetic")


def test_a_class_that_is_not_explained_is_a_sentence():
    config = configured({"file": "song.wav", "classes": ["class2"]})
    tracks.check(config, "synthetic")
    config["datasets"]["synthetic"]["explain"]["classes"] = ["class1"]
    with pytest.raises(EarmarkError, match=r"song is to be explained for class2: it is not among explain\.classes"):
        tracks.check(config, "synthetic")


def test_which_methods_explain_any_recording():
    assert all(tracks.explains(method_of(name)) for name in ("info", "drsa", "random~0", "oracle", "l2i-parts"))
    others = ("standard", "saliency", "oracle-stems", "audiolime-stems", "l2i-by-design")
    assert not any(tracks.explains(method_of(name)) for name in others)
    assert tracks.heard(configured()["datasets"]["synthetic"]) == ["info"]  # no control


def test_make_track_asks_for_the_middle_layer_and_the_first_method_and_k(song):
    config = configured()
    target = tracks.asked(told(DATASET="synthetic", FILE=song), config)
    assert target == "results/synthetic/main/conv4/info/K~4/tracks/my-so-ng-x-y"
    targets.check_path(config, target)
    config = configured(song)
    own = told(DATASET="synthetic", FILE=song, LAYER="conv5", METHOD="random~0", K="2")
    assert tracks.asked(own, config) == "results/synthetic/main/conv5/random~0/K~2/tracks/my-so-ng-x-y"
    assert len(config["datasets"]["synthetic"]["tracks"]) == 1  # it was listed already


def test_nothing_is_asked_for_without_a_word():
    assert tracks.asked(told(DATASET="", FILE=""), configured()) is None


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"DATASET": "synthetic"}, "make track needs FILE: make track DATASET=band"),
        ({"FILE": "x.wav"}, "make track needs DATASET"),
        ({"K": "4"}, "make track needs DATASET and FILE"),
        ({"DATASET": "sinthetic", "FILE": "x.wav"}, "there is no data set sinthetic; did you mean synthetic"),
        ({"DATASET": "synthetic", "FILE": "no/x.wav"}, "the track x: the file 'no/x.wav' does not exist"),
        ({"DATASET": "synthetic", "FILE": "."}, "the file '.' is a folder"),
    ],
)
def test_what_make_track_lacks_is_a_sentence(said, sentence):
    with pytest.raises(EarmarkError, match=sentence):
        tracks.asked(told(**said), configured())


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("main/conv4/info/K~4/tracks/other", "there is no other; allowed: song"),
        ("main/conv4/info/K~4/tracks", "a folder of several results; name one below it: song"),
        ("main/conv4/info/K~3/tracks/song", "K = 3 does not divide the 16 channels of conv4"),
        ("net1/conv4/info/K~4/tracks/song", "there is no net1"),
        ("main/input/standard/K~1/tracks/song", "standard cannot explain any recording in parts"),
        ("main/conv4/info/K~4/tracks/song/index.html", "there is no song|song is made as a whole"),
    ],
)
def test_a_path_that_cannot_be_is_a_sentence(path, sentence):
    with pytest.raises(EarmarkError, match=sentence):
        targets.check_path(configured("song.wav"), f"results/synthetic/{path}")


def test_a_data_set_may_be_called_tracks():
    config = validate({"datasets": {"tracks": CONFIG["datasets"]["synthetic"]}, "run": ["tracks"]})
    targets.check_path(config, "results/tracks/main/conv4/info/K~4/class1/heatmaps.safetensors")


def test_a_data_set_without_tracks_says_how_to_have_some():
    with pytest.raises(EarmarkError, match="list recordings in `tracks`, or use make track"):
        targets.check_path(configured(), "results/synthetic/main/conv4/info/K~4/tracks/song")
