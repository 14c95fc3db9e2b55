"""Names of classes in paths and tables."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.sources.band.styles import STYLES
from earmark.store.layout import RESERVED, composed, slug, slugs


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(("class1", "class1"), ("Bird Song", "bird-song"), ("A$AP $ 1", "a-ap-1"), ("007", "007"), ("1e3", "1e3")),
        *(("Übung", "ubung"), ("café", "cafe"), ("Žánr", "zanr"), ("São Paulo", "sao-paulo"), ("Ñandú", "nandu")),
        *(("Straße", "strasse"), ("STRASSE", "strasse"), ("smørrebrød", "smorrebrod"), ("Łódź", "lodz")),
        *(("Ægir", "aegir"), ("Þór", "thor"), ("İstanbul", "istanbul"), ("ışık", "isik"), ("ﬁlm", "film")),
        *(("рок", ""), ("音乐", ""), ("🎵", ""), ("рок 2", "2")),
    ],
)
def test_letters_lose_their_marks_and_stay(name, wanted):
    assert slug(name) == wanted
    assert slug(unicodedata.normalize("NFD", name)) == wanted


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["b", "a"], ["a", "b"]),
        (["Rock!", "rock"], ["rock-1", "rock-2"]),
        (["Rock!", "rock", "rock 1"], ["rock-1-1", "rock-2", "rock-1"]),
        (["all", "pairs", "x"], ["all-1", "pairs-2", "x"]),
        (["Files", "masked", "tracks"], ["files-1", "masked-2", "tracks-3"]),
        (["рок", "джаз", "a"], ["a", "class2", "class3"]),
        (["class2", "рок"], ["class2", "class2-2"]),
        (["group", "solo", "True", "clip"], ["true", "clip", "group", "solo"]),
    ],
)
def test_numbers_tell_apart_what_would_be_called_alike(names, wanted):
    assert list(slugs(names)) == sorted(names)
    assert list(slugs(names).values()) == wanted


@given(st.lists(st.text(alphabet="aA-1!éж", max_size=4), unique=True))
def test_slugs_are_apart_and_fit_for_paths(names):
    found = slugs(names)
    assert len(set(found.values())) == len(names)
    assert RESERVED.isdisjoint(found.values())
    assert all(slug(short) == short != "" for short in found.values())


def test_names_of_any_length_fit_into_those_of_files():
    found = slugs(["great " * 40 + ending for ending in ("tit", "reed warbler")])
    assert len(set(found.values())) == 2
    assert all(len(own) < 110 and not own.endswith("-") for own in found.values())


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=100))
def test_ascii_names_are_written_as_ever(name):
    wanted = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    assert slug(name) == "-".join(filter(None, wanted.split("-")))


def test_the_styles_keep_their_names():
    assert list(slugs(STYLES).values()) == list(STYLES)
    assert composed("e\u0301") == "\u00e9"
