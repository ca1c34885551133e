"""Tables as spreadsheets and other tools write them are read, whatever separates their columns and names them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from unboxed.data.readers.tables import read_table
from unboxed.data.readers.text_files import decode_file
from unboxed.errors import DatasetError

WANTED = {"1.jpg": ["A dog, in red, runs."], "2.jpg": ["A cat.", "Two cats."]}


def _captions(file: Path) -> dict[str, list[str]]:
    return {image: [caption.text for caption in captions] for image, captions in read_table(file).captions.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'image,caption\n1.jpg,"A dog, in red, runs."\n2.jpg,A cat.\n2.jpg,Two cats.\n'),
        ("a.csv", "image,caption\n1.jpg,A dog, in red, runs.\n2.jpg,A cat.\n2.jpg,Two cats.\n"),
        ("a.csv", 'caption,image\n"A dog, in red, runs.",1.jpg\nA cat.,2.jpg\nTwo cats.,2.jpg\n'),
        ("a.csv", 'sep=;\nfile;title\n1.jpg;"A dog, in red, runs."\n2.jpg;A cat.\n2.jpg;Two cats.\n'),
        ("a.csv", ',filepath,title\n0,1.jpg,"A dog, in red, runs."\n1,2.jpg,A cat.\n2,2.jpg,Two cats.\n'),
        ("a.csv", "Image Name\tALT TEXT\n1.jpg\tA dog, in red, runs.\n2.jpg\tA cat.\n2.jpg\tTwo cats.\n"),
        ("a.csv", "1.jpg,A dog, in red, runs.\n2.jpg,A cat.\n2.jpg,Two cats.\n"),
        ("a.csv", 'img,caption_0,caption_1\n1.jpg,"A dog, in red, runs.",\n2.jpg,A cat.,Two cats.\n'),
        ("a.csv", 'img,title,captions\n1.jpg,x,"[""A dog, in red, runs.""]"\n2.jpg,x,"[\'A cat.\', \'Two cats.\']"\n'),
        ("a.csv", 'img,caption,caption\n1.jpg,"A dog, in red, runs.",\n2.jpg,A cat.,Two cats.\n'),
        ("a.csv", 'img,caption_id,blip_caption\n1.jpg,1,"A dog, in red, runs."\n2.jpg,2,A cat.\n2.jpg,3,Two cats.\n'),
        ("a.tsv", "image\tcaption\n1.jpg\tA dog, in red, runs.\n2.jpg\tA cat.\n2.jpg\tTwo cats.\n"),
        ("a.tsv", "A dog, in red, runs.\t1.jpg\nA cat.\t2.jpg\nTwo cats.\t2.jpg\n"),
        ("a.token.txt", "1.jpg#0\tA dog, in red, runs.\n2.jpg#0\tA cat.\n2.jpg#1\tTwo cats.\n"),
        ("a.csv", "'image','caption'\n'1.jpg','A dog, in red, runs.'\n'2.jpg','A cat.'\n'2.jpg','Two cats.'\n"),
        ("a.csv", 'image,caption\n1.jpg,"A dog, in red, runs.",\n2.jpg,A cat.,\n2.jpg,Two cats.,,\n'),
        ("a.csv", 'imagePath,Alt-Text\n1.jpg,"A dog, in red, runs."\n2.jpg,A cat.\n2.jpg,Two cats.\n'),
        (
            "a.csv",
            "img,captions\n1.jpg,A dog&#44; in red&comma; runs.\n2.jpg,['A cat.'\n 'Two cats.']\n".replace("\n ", " "),
        ),
        (
            "a.csv",
            "image_name| number| comment\n1.jpg| 0| A dog, in red, runs.\n2.jpg| 0| A cat.\n2.jpg| 1| Two cats.\n",
        ),
    ],
)
def test_the_columns_are_found(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert _captions(tmp_path / name) == WANTED


def test_quotes_belong_to_the_captions_of_a_table_with_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('image\tcaption\n1.jpg\tA sign says "stop" .\n2.jpg\t"A ""big"" dog"\n')
    assert _captions(tmp_path / "a.tsv") == {"1.jpg": ['A sign says "stop" .'], "2.jpg": ['A "big" dog']}


def test_rows_without_a_caption_or_an_image_are_left_out_and_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "image,n,caption\n1.jpg,0,A dog.\n2.jpg,0,\n3.jpg,0,NaN\n,0,A cat.\n\n4.jpg,0 A cat.\n5.jpg,0,...\n"
    )
    assert _captions(file) == {"1.jpg": ["A dog."]}
    assert read_table(file).notes == (
        f"Left out: 4 rows without a caption ({file}:3, {file}:4, {file}:7, {file}:8)",
        f"Left out: 1 row without an image ({file}:5)",
    )


def test_line_breaks_of_old_macs_and_bytes_of_zero(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"image,caption\r1.jpg,A dog.\r2.jpg,A cat.\r\0\0,\0\r")
    assert _captions(tmp_path / "a.csv") == {"1.jpg": ["A dog."], "2.jpg": ["A cat."]}


def test_one_image_under_several_spellings_is_one_image(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,caption\na/1.jpg,one\n./a/1.jpg,two\na\\1.jpg,three\nfile://a//1.jpg,four\n")
    assert _captions(tmp_path / "a.csv") == {"a/1.jpg": ["one", "two", "three", "four"]}


FRENCH = "image,caption\n1.jpg,Un garçon près de la fenêtre – « où ? »\n2.jpg,It’s a café\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (FRENCH.encode(), ""),
        (codecs.BOM_UTF8 + FRENCH.encode(), ""),
        (FRENCH.encode("utf-16"), "is read as UTF-16"),
        (FRENCH.encode("utf-16-le"), "is read as UTF-16"),
        (FRENCH.encode("utf-16-be"), "is read as UTF-16"),
        (FRENCH.encode("cp1252"), "is read as Windows-1252; save it as UTF-8 if"),
        (FRENCH.encode("mac_roman"), "is read as Mac Roman; save it as UTF-8 if"),
    ],
)
def test_an_encoding_is_recognized_and_named(content: bytes, note: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    text, said = decode_file(tmp_path / "a.csv")
    assert text == FRENCH and (note in said if note else not said)
    assert read_table(tmp_path / "a.csv").notes == ((said,) if note else ())


RUSSIAN = "image,caption\nсобака.jpg,A dog runs on the grass.\n2.jpg,Красная машина стоит у дома. В парке – «друзья».\n"
JAPANESE = "image,caption\n犬.jpg,A dog runs on the grass.\n2.jpg,公園のベンチに二人の人が座っている。\n"


@pytest.mark.parametrize(
    ("content", "encoding", "title"),
    [(RUSSIAN, "cp1251", "Windows-1251"), (RUSSIAN, "koi8_r", "KOI8-R"), (JAPANESE, "shift_jis", "Shift-JIS")],
)
def test_russian_and_japanese_tables_of_older_programs_are_read(
    content: str, encoding: str, title: str, tmp_path: Path
) -> None:
    content = content.replace(" – «друзья»", "") if encoding == "koi8_r" else content  # which has no such marks
    (tmp_path / "a.csv").write_bytes(content.encode(encoding))
    assert decode_file(tmp_path / "a.csv") == (
        content,
        f"{tmp_path / 'a.csv'} is read as {title}; save it as UTF-8 if its letters look wrong.",
    )


@pytest.mark.parametrize(
    ("caption", "encoding"),
    [
        ("犬が芝生の上を走る", "euc_jp"),
        ("一只狗在草地上跑", "gbk"),
        ("σκύλος", "cp1253"),
        ("żółta łąka", "cp1250"),
    ],
)
def test_no_encoding_is_guessed_for_other_scripts(caption: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(f"image,caption\n000001.jpg,{caption}\n".encode(encoding))
    with pytest.raises(DatasetError, match=r"a\.csv is not UTF-8 text \(byte 2\d, line 2\); save it as UTF-8"):
        decode_file(tmp_path / "a.csv")


def test_columns_of_other_names_are_found_by_what_they_hold(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id;Bild;Beschreibung\n7;1.jpg;A dog, in red, runs.\n8;2.jpg;A cat sits there.\n")
    assert _captions(file) == {"1.jpg": ["A dog, in red, runs."], "2.jpg": ["A cat sits there."]}
    (note,) = read_table(file).notes
    assert note.endswith("the column 'Bild' is read as the names of images, and 'Beschreibung' as captions.")
    file.write_text("Bild;eins;zwei\n1.jpg;A dog runs away.;A cat sits there.\n")  # either may be meant
    with pytest.raises(DatasetError, match="expected one column 'image', found: Bild, eins, zwei"):
        read_table(file)


def test_quotes_in_quotes_as_databases_write_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('image,caption\n1.jpg,"A sign says \\"stop\\", twice."\n2.jpg,A \\ sign.\n')
    assert _captions(tmp_path / "a.csv") == {"1.jpg": ['A sign says "stop", twice.'], "2.jpg": ["A  sign."]}
