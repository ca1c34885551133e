"""The chunker: what it makes of typical captions, that its spans are sound, and how well it agrees with people."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.image_folder import StoredImage
from unboxed.data.readers.flickr30k_entities import read_examples
from unboxed.errors import CaptionError
from unboxed.text.phrases import content_words, head_noun, noun_phrases, span_f1
from unboxed.types import Caption, Phrase


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
        "[3 kids] are swimming in [a swimming pool].",
        "[A snow covered mountain] behind [people] on top of [a hill]",
        "[The older man] walks [his dogs] and takes [a walk] to [the store].",
        "[Men], [women] and [children] watch [the parade] from [the back of a truck].",
    ],
)
def test_typical_captions(expected: str) -> None:
    assert _bracketed(expected.replace("[", "").replace("]", "")) == expected


def test_a_caption_without_a_noun_phrase_is_one_phrase() -> None:
    assert [phrase.text for phrase in noun_phrases(" Running and jumping ! ")] == ["Running and jumping"]


def test_a_caption_without_words_is_refused() -> None:
    with pytest.raises(CaptionError, match="no words"):
        noun_phrases(" ... ")


_english = st.sampled_from(
    ["a", "the", "two", "her", "one", "other", "of", "and", "with", "men", "dog", "building", "skiing", "plays", "play"]
) | st.sampled_from(
    ["dressed", "red", "very", "that", "'s", ",", ".", "3", "can", "in front of", "on top of", "each other"]
)
_sentence = st.lists(_english, min_size=1, max_size=25).map(" ".join)


@given((_sentence | st.text()).map("x ".__add__))
def test_spans_are_sound_whatever_the_caption(text: str) -> None:
    phrases = noun_phrases(text)
    assert phrases, "there is always something to ground"
    assert Caption(text, phrases)  # spans lie in the text and say what the phrases say
    assert all(first.end <= second.start for first, second in pairwise(phrases))


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


def test_content_words_are_nouns_and_adjectives_of_phrases() -> None:
    text = "Two young boys and their dog run happily to one of the red cars with her ."
    spans = content_words(text, noun_phrases(text))
    assert [text[start:end] for start, end in spans] == ["young", "boys", "dog", "red", "cars"]


def test_span_f1_by_hand() -> None:
    text = "A man sees a dog"
    man, dog = Phrase("A man", 0, 5), Phrase("a dog", 11, 16)
    gold, half, wrong = Caption(text, (man, dog)), Caption(text, (man,)), Caption(text, (Phrase("man", 2, 5),))
    assert span_f1([half], [gold]) == (1, 1 / 2, pytest.approx(2 / 3))
    assert span_f1([wrong], [gold]) == (0, 0, 0)
    # Counted over all captions together: 3 of 4 found spans are right, 3 of 4 gold spans are found.
    assert span_f1([gold, half, wrong], [gold, half, half]) == (3 / 4, 3 / 4, 3 / 4)
    assert span_f1([Caption(text)], [Caption(text)]) == (0, 0, 0)


def test_agreement_with_the_gold_phrases_of_real_captions(shared_data: Path) -> None:
    """The chunker knows nothing of these captions; 0.80 is the least that is let pass."""
    folder = shared_data / "data" / "flickr30k_entities"
    listed = {image_id: StoredImage(Path(image_id), 1, 1) for image_id in (folder / "val.txt").read_text().split()}
    examples = read_examples(folder / "annotations.tar.gz", listed)
    gold = [caption for example in examples for caption in example.captions]
    assert len(gold) == 5000
    predicted = [Caption(caption.text, noun_phrases(caption.text)) for caption in gold]
    assert span_f1(predicted, gold).f1 >= 0.80
