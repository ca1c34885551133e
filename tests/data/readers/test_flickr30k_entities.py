"""The native layout of Flickr30K Entities is read exactly, and its damage is named with file and line."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.data.image_search import StoredImage
from unboxed.data.readers.flickr30k_entities import (
    EntitiesReader,
    parse_boxes,
    parse_sentence,
    read_examples,
    read_unrelated,
)
from unboxed.errors import CaptionError, DatasetError
from unboxed.types import Caption

SENTENCES = """[/EN#1/people Two young guys] with [/EN#2/bodyparts shaggy hair] look at [/EN#0/notvisual something] .
[/EN#1/people/animals They] sit on [/EN#3/scene the lawn] .
"""
XML = """<annotation>
  <filename>7.jpg</filename><size><width>400</width><height>200</height><depth>3</depth></size>
  <object><name>1</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>100</xmax><ymax>200</ymax></bndbox></object>
  <object><name>1</name><name>2</name>
    <bndbox><xmin>301</xmin><ymin>101</ymin><xmax>400</xmax><ymax>150</ymax></bndbox></object>
  <object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object>
  <object><name>4</name><scene>0</scene><nobndbox>1</nobndbox></object>
</annotation>"""


def _write(folder: Path, sentences: str = SENTENCES, xml: str = XML) -> Path:
    (folder / "Sentences").mkdir(parents=True)
    (folder / "Annotations").mkdir()
    (folder / "Sentences" / "7.txt").write_text(sentences, "utf-8")
    (folder / "Annotations" / "7.xml").write_text(xml, "utf-8")
    return folder


def _images(width: int = 400, height: int = 200) -> dict[str, StoredImage]:
    return {"7": StoredImage(Path("7.jpg"), width, height)}


def test_an_example_by_hand(tmp_path: Path) -> None:
    (example,) = read_examples(_write(tmp_path), _images())
    assert (example.image_id, example.width, example.height, example.original_size) == ("7", 400, 200, None)
    first, second = example.captions
    assert first.text == "Two young guys with shaggy hair look at something ."
    assert [(p.text, p.start, p.end, p.types, p.chain) for p in first.phrases] == [
        ("Two young guys", 0, 14, ("people",), "1"),
        ("shaggy hair", 20, 31, ("bodyparts",), "2"),
        ("something", 40, 49, ("notvisual",), "0"),
    ]
    # Inclusive pixels 1..100 are the continuous edges 0 and 100; an object may belong to two chains.
    assert first.phrases[0].boxes.tolist() == [[0, 0, 100, 200], [300, 100, 400, 150]]
    assert first.phrases[1].boxes.tolist() == [[300, 100, 400, 150]]
    assert first.phrases[2].boxes.shape == (0, 4)
    assert second.phrases[0].types == ("people", "animals")
    assert second.phrases[1].boxes.shape == (0, 4), "a scene has no box"


def test_each_axis_is_scaled_by_its_own_factor(tmp_path: Path) -> None:
    (example,) = read_examples(_write(tmp_path), _images(width=100, height=100))
    assert example.captions[0].phrases[1].boxes.tolist() == [[75, 50, 100, 75]]
    assert example.original_size == (400, 200), "the stored copy is squashed"


@pytest.mark.parametrize("size", [(200, 100), (201, 100), (133, 67)])
def test_a_smaller_copy_of_the_same_shape_is_as_stored(tmp_path: Path, size: tuple[int, int]) -> None:
    (example,) = read_examples(_write(tmp_path), _images(*size))
    assert example.original_size is None


@pytest.mark.parametrize(("name", "mode"), [("a.tar.gz", "w:gz"), ("a.tar", "w"), ("a.tar.xz", "w:xz")])
@pytest.mark.parametrize("prefix", ["", "./", "Flickr30kEntities/"])
def test_a_tar_file_reads_like_its_folder(tmp_path: Path, name: str, mode: str, prefix: str) -> None:
    folder = _write(tmp_path / "folder")
    with tarfile.open(tmp_path / name, mode) as tar:
        for path in ("Sentences/7.txt", "Annotations/7.xml"):
            tar.add(folder / path, prefix + path)
    (packed,), (plain,) = read_examples(tmp_path / name, _images()), read_examples(folder, _images())
    for ours, theirs in zip(packed.captions, plain.captions, strict=True):
        assert ours.text == theirs.text
        for phrase, other in zip(ours.phrases, theirs.phrases, strict=True):
            assert np.array_equal(phrase.boxes, other.boxes)


def test_a_damaged_tar_file_is_named(tmp_path: Path) -> None:
    folder, archive = _write(tmp_path / "folder"), tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "Sentences")
        tar.addfile(tarfile.TarInfo("filling"), io.BytesIO())
        tar.add(folder / "Annotations")
    for content in (b"", b"no tar file at all", archive.read_bytes()[:60]):
        archive.write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.tar\.gz"):
            read_examples(archive, _images())


# A phrase is words without brackets; the text between phrases may be anything that is neither bracket nor line feed.
_visible = st.characters(exclude_characters="[]", exclude_categories=("C", "Z"))
_word = st.text(_visible, min_size=1, max_size=8)
_words = st.lists(_word, min_size=1, max_size=4).map(" ".join)
_name = st.text(st.characters(exclude_characters="[]/", exclude_categories=("C", "Z")), min_size=1, max_size=6)
_phrase = st.tuples(_name, st.lists(_name, min_size=1, max_size=3), _words)


@given(st.lists(st.tuples(_words | st.just(""), _phrase), max_size=5), _words)
def test_what_is_written_is_read_back(pieces: list[tuple[str, tuple[str, list[str], str]]], rest: str) -> None:
    marked, plain, expected = "", "", []
    for between, (chain, types, words) in pieces:
        expected.append((words, len(plain) + len(between), tuple(types), chain))
        marked += f"{between}[/EN#{chain}/{'/'.join(types)} {words}]"
        plain += between + words
    caption = parse_sentence(f"{marked} {rest} word")
    assert caption.text == f"{plain} {rest} word"
    assert [(p.text, p.start, p.types, p.chain) for p in caption.phrases] == expected
    assert all(caption.text[p.start : p.end] == p.text for p in caption.phrases)


@given(st.text(st.sampled_from("[]/EN#1 abc."), max_size=40))
def test_any_line_is_read_or_refused(line: str) -> None:
    with contextlib.suppress(DatasetError, CaptionError):
        assert isinstance(parse_sentence(line), Caption)


@pytest.mark.parametrize(
    "bad",
    [
        "[/EN#1/people A man is here .",  # never closed
        "[/EN#1 A man] is here .",  # no type
        "[/EN#1/people ] is here .",  # no words
        "[/EN#1/people A man] is here ] .",
        "[/EN#1/people A man in [/EN#2/clothing a hat] ] .",  # nested
    ],
)
def test_malformed_markup_is_named_with_its_line(tmp_path: Path, bad: str) -> None:
    with pytest.raises(DatasetError, match=r"7\.txt:3: malformed markup near .* expected \[/EN#chain/type words\]"):
        read_examples(_write(tmp_path, SENTENCES + bad), _images())


def test_a_caption_without_words_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"7\.txt:1: The caption '\.' has no words"):
        read_examples(_write(tmp_path, " .\n"), _images())


def test_an_entity_bomb_is_refused() -> None:
    bomb = '<!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + XML.replace("7.jpg", "&b;")
    with pytest.raises(DatasetError, match="declares a document type or entities"):
        parse_boxes(bomb.encode())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<size>", "<sized>", "not well-formed"),
        ("<width>400</width>", "", "no <width>"),
        ("<width>400</width>", "<width>wide</width>", "'wide' as <width>"),
        ("<width>400</width>", "<width>0</width>", "0 x 200 pixels"),
        ("<width>400</width>", "<width>inf</width>", "'inf' as <width>"),
        ("<xmax>100</xmax>", "", "no <xmax> in <bndbox>"),
        ("<xmax>100</xmax>", "<xmax>0</xmax>", "inside out"),
    ],
)
def test_a_bad_annotation_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"Annotations/7\.xml .*{message}"):
        read_examples(_write(tmp_path, xml=XML.replace(old, new)), _images())


def test_missing_annotations_are_named_with_the_mend(tmp_path: Path) -> None:
    folder = _write(tmp_path)
    (folder / "Annotations" / "7.xml").unlink()
    with pytest.raises(DatasetError, match=r"no Annotations/7\.xml; add it, or leave '7' out with `exclude`"):
        read_examples(folder, _images())


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    folder = _write(tmp_path)
    (folder / "Sentences" / "7.txt").write_bytes(b"A caf\xe9 .")
    with pytest.raises(DatasetError, match=r"7\.txt is not UTF-8"):
        read_examples(folder, _images())


def test_unrelated_captions_are_left_out(tmp_path: Path) -> None:
    folder = _write(tmp_path / "annotations")
    (tmp_path / "UNRELATED").write_text("# format: <imageID> <sentence number>\n7 2\n")
    unrelated = read_unrelated(tmp_path / "UNRELATED")
    (example,) = read_examples(folder, _images(), unrelated)
    assert [caption.text[:3] for caption in example.captions] == ["Two"]
    assert read_examples(folder, _images(), {("7", 1), ("7", 2)}) == ()


def test_a_byte_order_mark_is_no_part_of_the_list_of_unrelated_captions(tmp_path: Path) -> None:
    (tmp_path / "UNRELATED").write_text("7 2\n", encoding="utf-8-sig")
    assert read_unrelated(tmp_path / "UNRELATED") == {("7", 2)}


def test_a_bad_list_of_unrelated_captions_is_named(tmp_path: Path) -> None:
    (tmp_path / "UNRELATED").write_text("7 2\n7 second\n")
    with pytest.raises(DatasetError, match=r"UNRELATED:2: '7 second' is not an image id and a sentence number"):
        read_unrelated(tmp_path / "UNRELATED")


def test_gold_boxes_are_as_declared(tmp_path: Path, check_gold_boxes: Callable[[Dataset], None]) -> None:
    _write(tmp_path / "annotations")
    (tmp_path / "train.txt").write_text("7\n")
    toml = f'format = "{EntitiesReader.format}"\nimages = false\nannotations = "annotations"\n'
    (tmp_path / "data.toml").write_text(toml + '[splits]\ntrain = "train.txt"\n')
    check_gold_boxes(load_dataset(tmp_path / "data.toml"))
