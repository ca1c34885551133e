"""The chunker on typical captions, and on any text; head nouns and content words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.image_search import StoredImage
from unboxed.data.readers.flickr30k_entities import read_examples
from unboxed.errors import CaptionError
from unboxed.text.phrases import (
    content_mask,
    content_or_all,
    given_phrases,
    head_noun,
    is_content,
    noun_phrases,
    phrase_words,
)
from unboxed.text.tokens import words


def _bracketed(caption: str) -> str:
    for phrase in reversed(noun_phrases(caption)):
        caption = f"{caption[: phrase.start]}[{phrase.text}]{caption[phrase.end :]}"
    return caption


@pytest.mark.parametrize(
    "expected",
    [
        "[A man] in [a red shirt] rides [a bike] down [the street].",
        "[Two young boys] play [soccer] in [the park] while [their coach] watches [them].",
        "[A group of people] are standing in front of [the side of a brick building].",
        "[A black and white dog] jumps over [a fallen log] in [the snow].",
        "[A woman's dog] and [the boy 's kite] are on [the grass].",
        "[Two men] and [a woman] sit at [a table], talking to [each other].",
        "[A tall , white building] with [many windows]",
        "[One] wearing [a brightly colored hat], [another] in [black].",
        "[A smiling girl] holds [her guitar] near [her].",
        "[People] sit on [a striped seat] outside.",
        "[These two dogs] are in [a very futuristic setting].",
        "[A woman] [who] has hit [the ball] sits cross legged.",
        "[3 kids] are swimming in [a swimming pool].",
        "[A snow covered mountain] behind [people] on top of [a hill]",
        "[The older man] walks [his dogs] and takes [a walk] to [the store].",
        "[Men], [women] and [children] watch [the parade] from [the back of a truck].",
        "[The letter s] and half of [the people]",
        "[a trash can] near [the wall], [a can] full of [paint]",
        "[someone 's dog] is dressed warmly",
        "[a man] dressed as [a clown]",
        "[They] dance and skip along [the street]",
        "[he] and [a boy] sit on [the back]",
        "[a skier] slaloms down [a slope], [women] crochet [a blanket]",
        "[Two friends] try to crochet [a blanket]",
        "[two dance moves] and [such a dog] [that] barks",
        "[a fish] that [he] caught, [a mushroom] that [her mother] is showing [her]",
        "[snow covered cars] behind [the injured]",
        "[The man] in [red] rides [a bike]",
        "[A man] in [a hard hat] beside [the white one] runs much",
        "[Birds] on [telephone lines], [a cup] that's full, [blue check points] on [a map]",
        "[A white , black , and brown dog] with [a white shirt] [black tie] and [frizzy , dark hair]",
        "[The coal mine] has [a boiled egg] and [a set of 2] on [page 2] behind [a still lake]. 2",
        "[Two dogs] meeting near [a brick building], [a man] is rock climbing, [they] are all running",
        "[One] [a keyboard], [fireworks] light up [a shop front], [a sandwich] cut in half",
        "[A boy] shows [each other] [outdoors] how to clean [a fence] painted yellow",
        "[A man] in [red] playing [guitar] by [a river or lake], [men] in [white] play [soccer]",
        "[A bucket] over [his or her head], [two or three fingers], [only one hand], [trees] all around [a man]",
        "[The right side] shows [a U.S. army truck] and [an “OK” sign] with [a gray, block wall]",
        "[A child's coloring book] about [the 1960s], [an odd looking vehicle], [a horse drawn carriage]",
        "[A female] looks on as [he] slips at [the London 2012 games] in [a fast moving swing]",
        "[A boat] right next to [the right and left side] with [all sorts of treats], [window], and [sink] in [it]",
        "[The boy] watching [a man] ride past, [the blond one], [a us flag], [a blue & white shirt], [lids] & [a base]",
        "[A smiling man] in [green] next to [a female] dressed in [blue], [a still] from [a film]",
        "[A plane] landing next to [train tracks], [a boy] in [a hat] painting [a door], [a shop] called [Ada]",
        "[Two medium sized red boxes], [a dog] with [it's head] up, looking north at [at least two men]",
        "[View] across [a lake], [one slice] on [a plate] lying face down, [a lamp], [black]",
    ],
)
def test_typical_captions(expected: str) -> None:
    assert _bracketed(expected.replace("[", "").replace("]", "")) == expected


@pytest.mark.parametrize(
    "expected",
    [
        "[A close up of a pizza] with [olives], [a close up view of a clock]",
        "[Close up of hands], [a chopped up salad] and [an assortment of cut up fruit]",
        "[A boarded up shop] in [a fenced in area], [a fallen down tree], [a run down barn]",
        "[Pop Up Tent] for [2 People]",
        "[Men's Slip On Shoes]",
        "[A walk in closet] after [a walk] in [spring]",
        "[A man] dressed in [black] sits, [a shot] on [goal], [people] walk in",
    ],
)
def test_a_verb_with_a_particle_may_modify_a_noun(expected: str) -> None:
    assert _bracketed(expected.replace("[", "").replace("]", "")) == expected


def test_a_word_repeated_behind_a_preposition_modifies_a_noun_behind_an_article() -> None:
    expected = "[A side by side comparison of two phones], [the face to face meeting], [two dogs] run [side] by [side]"
    assert _bracketed(expected.replace("[", "").replace("]", "")) == expected
    assert [head_noun("a side by side comparison"), head_noun("a step by step guide")] == ["comparison", "guide"]


@pytest.mark.parametrize("caption", ["the man{0}s old hat", "the kids{0} toys", "it{0}s a dog{0}s leash"])
def test_an_apostrophe_may_be_of_any_kind(caption: str) -> None:
    plain = [(phrase.start, phrase.end) for phrase in noun_phrases(caption.format("'"))]
    for apostrophe in ("\u2019", "\u02bc"):
        assert [(phrase.start, phrase.end) for phrase in noun_phrases(caption.format(apostrophe))] == plain


@pytest.mark.parametrize(
    "expected",
    [
        "[Two drinking glasses] and [some eating utensils], [a pair of reading glasses]",
        "[Women] drinking [glasses of beer], [people] shopping, [they] are reading [lists]",
        "[Set of 4 Drinking Glasses] with [Straws]",
        "[Stainless Steel Mixing Bowls] and [Cutting Board] with [Carrying Handle]",
        "[The library reading room], [a silver parking meter] [a green car]",
    ],
)
def test_an_ing_form_names_what_a_thing_serves_for(expected: str) -> None:
    assert _bracketed(expected.replace("[", "").replace("]", "")) == expected


@pytest.mark.parametrize(
    "expected",
    [
        "[Men] in [black] stand beside [a car]",
        "[Cooks] in [white] work at [a counter]",
        "[Women] in [warm clothing] crowd around [a stall]",
        "[A woman] in [black leather] sits on [her motorcycle]",
        "[Cameramen] stand by, [kids] in [uniform] stand [outdoors]",
        "[A food stand] on [the street], [a man] in [a white dance suit], [a hat shop] at [a fair]",
    ],
)
def test_what_someone_wears_is_followed_by_the_verb(expected: str) -> None:
    assert _bracketed(expected.replace("[", "").replace("]", "")) == expected


_ANNOTATED = Path(__file__).parents[1] / "assets" / "caption_phrases.txt"


def _f1(pairs: Iterable[tuple[str, set[tuple[int, int]]]]) -> float:
    """F1 of exact spans of phrases over captions, each with its annotated spans."""
    right = found = wanted = 0
    for caption, spans in pairs:
        ours = {(phrase.start, phrase.end) for phrase in noun_phrases(caption)}
        right, found, wanted = right + len(ours & spans), found + len(ours), wanted + len(spans)
    return 2 * right / (found + wanted)


def _spans(bracketed: str) -> tuple[str, set[tuple[int, int]]]:
    """A caption without its brackets, and the spans that they marked."""
    text, spans, start = "", set(), 0
    for letter in bracketed:
        if letter == "[":
            start = len(text)
        elif letter == "]":
            spans.add((start, len(text)))
        else:
            text += letter
    return text, spans


@pytest.mark.parametrize("style", ["coco", "alt text", "shop titles", "archive notes"])
def test_captions_of_four_styles_agree_with_annotations_by_hand(style: str) -> None:
    part = _ANNOTATED.read_text("utf-8").split(f"# style: {style}\n")[1].split("# style:")[0]
    assert _f1(map(_spans, part.splitlines())) >= 0.98


def test_phrases_of_real_captions_agree_with_flickr30k_entities(shared_data: Path) -> None:
    release = shared_data / "data" / "flickr30k_entities"
    ids = (release / "val.txt").read_text("utf-8").split()
    images = {image_id: StoredImage(Path(image_id), 1, 1) for image_id in ids}
    captions = [c for example in read_examples(release / "annotations.tar.gz", images) for c in example.captions]
    assert len(captions) == 5000
    assert _f1((c.text, {(phrase.start, phrase.end) for phrase in c.phrases}) for c in captions) >= 0.965


def test_a_caption_without_a_noun_phrase_is_one_phrase() -> None:
    assert [phrase.text for phrase in noun_phrases(" Running and jumping ! ")] == ["Running and jumping"]


def test_a_caption_without_words_is_refused() -> None:
    with pytest.raises(CaptionError, match="no words"):
        noun_phrases(" ... ")


_english = st.sampled_from(
    [
        "a",
        "the",
        "these",
        "two",
        "her",
        "one",
        "other",
        "of",
        "and",
        "with",
        "men",
        "dog",
        "building",
        "skiing",
        "plays",
        "play",
    ]
) | st.sampled_from(
    ["dressed", "red", "very", "that", "'s", ",", ".", "3", "can", "in front of", "on top of", "each other"]
)
_sentence = st.lists(_english, min_size=1, max_size=25).map(" ".join)


_texts = _sentence | st.text() | st.text(alphabet="ab's,.-3 ’É日", max_size=40)


def test_listed_phrases_are_found_behind_a_letter_whose_lower_case_is_longer() -> None:
    caption = given_phrases("İ and İzmir, A Dog with a ball", "a dog, ball")
    assert [phrase.text for phrase in caption.phrases] == ["A Dog", "ball"]


@given(_texts)
def test_phrases_are_sorted_parts_of_the_text_without_overlap(text: str) -> None:
    if not words(text):
        with pytest.raises(CaptionError):
            noun_phrases(text)
        return
    phrases = noun_phrases(text)
    assert phrases, "there is always something to ground"
    assert all(0 <= phrase.start < phrase.end <= len(text) for phrase in phrases)
    assert all(phrase.text == text[phrase.start : phrase.end] for phrase in phrases)
    assert all(first.end <= second.start for first, second in pairwise(phrases))
    edges = {(word.start, word.end) for word in words(text)}
    assert all(any(start == phrase.start for start, _ in edges) for phrase in phrases), "phrases begin with a word"
    assert all(any(end == phrase.end for _, end in edges) for phrase in phrases), "and end with one"


@given(_texts)
def test_head_nouns_and_content_words_are_words(text: str) -> None:
    found = words(text)
    texts = [word.text for word in found]
    assert head_noun(text) in texts if texts else head_noun(text) == ""
    assert phrase_words(text).words == tuple(texts)
    assert phrase_words(text).up_to_head[-1:] == ((head_noun(text),) if texts else ())
    assert set(phrase_words(text).heads) <= set(texts) and bool(phrase_words(text).heads) == bool(texts)
    content_W = content_mask(found, [(0, len(text))])
    assert content_W.tolist() == [is_content(word) for word in texts]


def test_a_very_long_text_takes_linear_time() -> None:
    assert len(noun_phrases("noun " * 50_000)) > 1000


@pytest.mark.parametrize(
    ("phrase", "head"),
    [
        ("a young man", "man"),
        ("a man in a hat", "man"),
        ("a group of young people", "people"),
        ("a pair of shoes", "shoes"),
        ("the side of a building", "side"),
        ("two", "two"),
        ("of", "of"),
        ("a cup of", "cup"),
        ("...", ""),
    ],
)
def test_head_noun(phrase: str, head: str) -> None:
    assert head_noun(phrase) == head


@pytest.mark.parametrize(
    ("phrase", "heads"),
    [
        ("a round table", ("table",)),
        ("A group of young people", ("group", "people")),
        ("the side of a building", ("side", "building")),
        ("a man and a woman", ("man", "woman")),
        ("Men, women and children", ("men", "women", "children")),
        ("bright red", ("red",)),  # no noun phrase: the last word
        ("...", ()),
    ],
)
def test_head_nouns_of_all_noun_phrases(phrase: str, heads: tuple[str, ...]) -> None:
    assert phrase_words(phrase).heads == heads


def test_the_words_up_to_the_head_noun() -> None:
    assert phrase_words("A hot dog on a plate").up_to_head == ("a", "hot", "dog")
    assert phrase_words("a group of people").up_to_head == ("a", "group", "of", "people")
    assert phrase_words("…").up_to_head == ()


def test_content_words_are_nouns_and_adjectives_of_phrases() -> None:
    text = "Two young boys and their dog run happily to one of the red cars with her ."
    found = words(text)
    content_W = content_mask(found, [(phrase.start, phrase.end) for phrase in noun_phrases(text)])
    assert [word.text for word, is_one in zip(found, content_W, strict=True) if is_one] == [
        *("young", "boys", "dog", "red", "cars")
    ]


_masks = st.integers(1, 5).flatmap(
    lambda width: st.tuples(
        st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=4),
        st.lists(st.booleans(), min_size=width, max_size=width),
    )
)


@given(_masks)
def test_content_words_or_all_words_of_each_row(masks: tuple[list[list[bool]], list[bool]]) -> None:
    words_PW, content_W = map(np.array, masks)
    expected = [row & content_W if (row & content_W).any() else row for row in words_PW]
    assert np.array_equal(content_or_all(words_PW, content_W), expected)
    in_torch = content_or_all(torch.from_numpy(words_PW), torch.from_numpy(content_W))
    assert np.array_equal(in_torch.numpy(), expected)
