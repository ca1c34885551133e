"""What a new dataset format costs: one reader, its test, and one line in `READERS`. The rest derives from it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from PIL import Image

from unboxed.data import load_dataset, readers
from unboxed.data.dataset import COMMON_KEYS
from unboxed.data.image_search import ImageFolder
from unboxed.data.readers.base import AnnotatedImage, AnnotationReader, Key, Reader, bare_caption
from unboxed.errors import DatasetError

ROOT = Path(__file__).parents[3]


class LinesReader(AnnotationReader):
    """A text file with a line `split image caption` for each image."""

    format = "lines"
    title = "lines of text"
    keys = (Key("annotations", "the text file", required=True), Key("ending", "the last word of captions", "text"))
    splits = "those of the lines"

    def __init__(self, folder: ImageFolder, annotations: Path, ending: str = ".") -> None:
        super().__init__(folder)
        self._rows = [line.split(maxsplit=2) for line in annotations.read_text("utf-8").splitlines()]
        self._ending = ending

    @property
    def split_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row[0] for row in self._rows))

    def images_of(self, split: str) -> list[AnnotatedImage]:
        rows = (row for row in self._rows if row[0] == split)
        return [AnnotatedImage(name, (bare_caption(f"{text} {self._ending}"),), (name,)) for _, name, text in rows]


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset file of the new format, and the one line that makes it known."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "images" / "1.png")
    (tmp_path / "captions.txt").write_text("train 1.png a red dog\ntrain 2.png a cat\nval 1.png two dogs\n")
    toml = 'format = "lines"\nimages = "images"\nannotations = "captions.txt"\nending = "!"\n'
    (tmp_path / "data.toml").write_text(toml)
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, LinesReader))
    return tmp_path / "data.toml"


def test_a_new_format_is_read(lines: Path) -> None:
    dataset = load_dataset(lines)
    assert (dataset.reader.format, dataset.split_names) == ("lines", ("train", "val"))
    train = dataset.split("train")
    assert [example.image_id for example in train.examples] == ["1.png"] and train.missing == ("2.png",)
    (caption,) = train.examples[0].captions
    assert caption.text == "a red dog !" and caption.phrases[0].text == "a red dog"
    lines.write_text(lines.read_text().replace('images = "images"', 'exclude = ["1.png"]'))
    assert [example.image_id for example in load_dataset(lines).split("train").examples] == ["2.png"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"lines"', '"line"', "unknown format 'line'; did you mean 'lines'. Expected one of: .*, lines"),
        ('"lines"', '"scan"', "`ending` belongs to format 'lines'; remove it"),
        ("ending", "endign", "unknown key `endign`; did you mean 'ending'. Expected one of: .*, ending"),
        ("ending", '[splits]\ntrain = "captions.txt"\n#', "format 'lines' brings its own splits"),
        ('annotations = "captions.txt"', "", "has no `annotations`"),
        ('"captions.txt"', '"none.txt"', "`annotations` points at .*none.txt, which does not exist"),
        ('"!"', "1", "`ending` is 1; expected text in quotes"),
    ],
)
def test_the_messages_know_a_new_format(lines: Path, old: str, new: str, message: str) -> None:
    lines.write_text(lines.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=message):
        load_dataset(lines)


@pytest.mark.usefixtures("lines")
def test_the_table_of_the_guide_has_a_line_for_a_new_format() -> None:
    assert readers.format_table().splitlines()[-1] == (
        "| `lines` | lines of text | `annotations`: the text file; `ending`: the last word of captions (optional) | "
        "those of the lines | optional | none |"
    )


@pytest.mark.parametrize("reader", [*readers.READERS, LinesReader])
def test_the_keys_of_a_reader_are_the_arguments_of_its_constructor(reader: type[Reader]) -> None:
    arguments = list(inspect.signature(reader).parameters.values())
    assert arguments[0].name == "folder"
    required = {argument.name: argument.default is argument.empty for argument in arguments[1:]}
    assert required == {key.name: key.required for key in reader.keys}
    assert not required.keys() & set(COMMON_KEYS)


def test_the_guide_has_the_table_of_formats_and_all_keys() -> None:
    guide = (ROOT / "docs" / "data.md").read_text("utf-8")
    assert readers.format_table() in guide
    common = guide.partition("Keys of all formats:")[2].partition("Each format")[0]
    assert re.findall(r"^\| `\[?(\w+)\]?` \|", common, re.MULTILINE) == list(COMMON_KEYS)


def test_no_other_module_lists_the_formats() -> None:
    """Scenes writes one format, and importers of features share the name of SCAN's."""
    names = {reader.format for reader in readers.READERS} - {"table", "scan", "coco", "archives"}
    package = ROOT / "src" / "unboxed"
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        for name in names
        if f'"{name}"' in file.read_text("utf-8")
    }
    assert found == {
        "data/dataset.py",  # the example at its top
        "data/readers/flickr30k_entities.py",
        "data/readers/karpathy.py",
        "data/readers/refcoco.py",
        "scenes/writing.py",
    }
