"""Tables of captions: what a spreadsheet or a script writes is read, and a bad row is named with its line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.readers.tables import Table, hold_out, read_table
from unboxed.errors import DatasetError


def _read(tmp_path: Path, content: str, name: str = "captions.csv") -> Table:
    (tmp_path / name).write_bytes(content.encode("utf-8"))
    return read_table(tmp_path / name)


def test_rows_of_one_image_are_its_captions(tmp_path: Path) -> None:
    table = _read(tmp_path, "\ufeffid,Image,caption\r\n1,a.jpg,A man sits.\r\n2,b.jpg,A dog.\r\n3,a.jpg,He rests.\r\n")
    assert {image: [c.text for c in captions] for image, captions in table.captions.items()} == {
        "a.jpg": ["A man sits.", "He rests."],
        "b.jpg": ["A dog."],
    }


def test_quotes_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    table = _read(tmp_path, 'image,caption\na.jpg,"A man, who says\n""hello"" ."\n')
    assert table.captions["a.jpg"][0].text == 'A man, who says\n"hello" .'


def test_a_split_column_is_taken_as_it_is(tmp_path: Path) -> None:
    table = _read(tmp_path, "image,caption,split\na,A man.,test\nb,A dog.,train\nc,A cat.,test\n")
    assert list(table.splits.items()) == [("a", "test"), ("b", "train"), ("c", "test")]


def test_a_tenth_is_held_out_and_stays_held_out() -> None:
    names = [f"{i}.jpg" for i in range(5000)]
    splits = hold_out(names)
    assert 0.08 < sum(split == "val" for split in splits.values()) / len(names) < 0.12
    assert hold_out(names[1000:4000]).items() <= splits.items()


@pytest.mark.parametrize(("count", "fewest"), [(2, 1), (3, 1), (4, 2), (5, 2), (20, 2)])
def test_even_a_small_table_has_both_splits(count: int, fewest: int) -> None:
    for start in range(0, 200, count):
        splits = list(hold_out(f"{start + i}.jpg" for i in range(count)).values())
        assert min(splits.count("train"), splits.count("val")) >= fewest
    assert hold_out(["alone.jpg"]) == {"alone.jpg": "train"} and hold_out([]) == {}


def test_jsonl_gives_one_caption_or_several_and_phrases(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "captions": ["A man sits.", "A dog."], "split": "train"},
        {"image": "b.jpg", "caption": "a man sees a man", "phrases": [{"text": "a man"}, {"text": "a man"}]},
        {"image": "c.jpg", "caption": "A red kite", "phrases": [{"start": 2, "end": 10}]},
        {"image": "d.jpg", "caption": "Nothing here", "phrases": []},
    ]
    rows = [{**row, "split": "train"} for row in rows]
    table = _read(tmp_path, "\n".join(map(json.dumps, rows)) + "\n\n", "captions.jsonl")
    spans = {
        image: [(p.start, p.end) for c in captions for p in c.phrases] for image, captions in table.captions.items()
    }
    assert len(table.captions["a.jpg"]) == 2
    assert (spans["b.jpg"], spans["c.jpg"], spans["d.jpg"]) == ([(0, 5), (11, 16)], [(2, 10)], [])


_text = st.text(st.characters(exclude_categories=("C",)) | st.sampled_from('\n\r\t",;'), max_size=30)


@given(st.lists(_text.map(lambda text: "A man " + text), min_size=1, max_size=5))
def test_any_caption_survives_both_kinds_of_table(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("table")
    sheet = io.StringIO(newline="")
    csv.writer(sheet).writerows([["image", "caption"], *(["a.jpg", text] for text in texts)])
    lines = "".join(json.dumps({"image": "a.jpg", "caption": text}) + "\n" for text in texts)
    for name, content in (("t.csv", sheet.getvalue()), ("t.jsonl", lines)):
        captions = _read(folder, content, name).captions["a.jpg"]
        assert [caption.text for caption in captions] == [text.strip() for text in texts]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found: an empty file"),
        ('image,caption\n\na,"A" man.\n', r"captions\.csv:3: .*check the double quotes of this row"),
        ("view,caption\na,b\n", r"captions\.csv:1: expected one column 'image', found: view, caption"),
        ("image,caption\n", "has no rows"),
        ("image,caption\n,A dog.\n", r"Left out: 1 row without an image \(.*captions\.csv:2\)"),
        ("image,caption\na,A man,a dog.\n", r"captions\.csv:2: 3 fields, the first line has 2; put captions"),
        ('image,caption\na,"A man.\n', r"captions\.csv:2: .*check the double quotes"),
        ("image,caption\nb,...\n", r"Left out: 1 row without a caption \(.*captions\.csv:2\)"),
        ("image,caption,split\na,A man.,x\na,A dog.,y\n", r"captions\.csv:3: 'a' is in split 'y' here and in 'x'"),
        ("image,caption,split\na,A man.,x\nb,A dog.,\n", "'b' has no split, others have"),
        (
            "image,caption\na,A man.\nb," + "a man " * 20_000,
            r"captions\.csv:3: .*120,000 characters, the limit is 100,000",
        ),
    ],
)
def test_a_bad_csv_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _read(tmp_path, content)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected an object such as"),
        ('{"image": "a", "caption": "A man \\ud800."}', "not JSON .*surrogates not allowed"),
        ('{"image": 3.5, "caption": "A man."}', "`image` is 3.5"),
        ('{"image": "a", "caption": "A man.", "captions": ["A dog."]}', "either `caption`, or `captions`"),
        ('{"image": "a", "captions": [1]}', "the caption is 1"),
        ('{"image": "a", "captions": ["A man.", "A dog."], "phrases": []}', "write a line for each caption"),
        ('{"image": "a", "caption": "A man.", "phrases": 1}', "expected a list"),
        ('{"image": "a", "caption": "A man.", "phrases": [1]}', "phrase 1; expected"),
        ('{"image": "a", "caption": "A man.", "phrases": [{"start": true, "end": 5}]}', "expected {"),
        ('{"image": "a", "caption": "A man.", "phrases": [{"text": "a dog"}]}', "'a dog' is not in 'A man.'"),
        ('{"image": "a", "caption": "A man.", "phrases": [{"start": 0, "end": 50}]}', "outside its caption of 6"),
        ('{"image": "a", "caption": "A man.", "phrases": [{"start": -3, "end": 5}]}', "outside its caption of 6"),
        ('{"image": "a", "caption": "A man.", "phrases": [{"start": 0, "end": 5, "text": "a dog"}]}', "is not what"),
    ],
)
def test_a_bad_jsonl_row_is_named_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"captions\.jsonl:2: .*{message}"):
        _read(tmp_path, '{"image": "z", "caption": "A cat."}\n' + row, "captions.jsonl")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("image,caption\na,собака\n".encode("cp1251"))
    with pytest.raises(DatasetError, match=r"not UTF-8 text \(byte 16, line 2\); save it as UTF-8"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(DatasetError, match=r"t\.jsonl cannot be read \(No such file"):
        read_table(tmp_path / "t.jsonl")
    for content, message in {
        "3": "expected a list of objects",
        '{"images": [{"id": 1}], "annotations": []}': r"not those of COCO's captions \('file_name' is missing\)",
    }.items():
        (tmp_path / "t.json").write_text(content)
        with pytest.raises(DatasetError, match=message):
            read_table(tmp_path / "t.json")
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(DatasetError, match=r"t\.xlsx is no table of captions .*; save the sheet as CSV"):
        read_table(tmp_path / "t.xlsx")
