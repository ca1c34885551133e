"""The reader of Flickr30K Entities: `Sentences/<id>.txt` and `Annotations/<id>.xml`, in a folder or a tar file.

A line of a sentence file is a caption whose phrases are marked `[/EN#<chain>/<type>[/<type>...] <words>]`; chain 0 is
not visual. An `object` of the XML belongs to one or several chains (`name`) and has a box, or a flag that gives the
reason why it has none. Boxes are inclusive pixel ranges from 1 in the original image. Here they become continuous, and
each axis is scaled by its own factor to the image as stored.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unboxed.data.image_search import ImageFolder, ImageSearch, StoredImage
from unboxed.data.images import UNKNOWN_SIZE, is_possible_size, without_suffix
from unboxed.data.readers.base import Key, Reader, read_list
from unboxed.data.tar_files import TarMember, members
from unboxed.errors import CaptionError, DatasetError, plain_reason
from unboxed.runtime.digests import ARCHIVE_ERRORS
from unboxed.types import Array, Caption, Example, Phrase

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Boxes", "EntitiesReader", "parse_boxes", "parse_sentence", "read_examples", "read_unrelated"]

_SENTENCES, _ANNOTATIONS = "Sentences/{}.txt", "Annotations/{}.xml"
_MAX_FILE_BYTES = 4_000_000  # the largest file of the release has 30 kB

_PHRASE = re.compile(r"\[/EN#(?P<chain>[^/\s\[\]]+)(?P<types>(?:/[^/\s\[\]]+)+)\s+(?P<words>[^\[\]]*[^\[\]\s])\s*\]")

Boxes = dict[str, list[tuple[float, float, float, float]]]
"""Chain id -> its continuous boxes, in file order."""


class EntitiesReader(Reader):
    """Reads Flickr30K Entities in its native layout."""

    format = "flickr30k-entities"
    title = "Flickr30K Entities in its native layout"
    keys = (
        Key("annotations", "the folder of `Sentences` and `Annotations`, or a tar file of it", required=True),
        Key("splits", "a list of image ids per split", "paths", True, 'train = "train.txt"'),
        Key("unrelated", "a list of captions to leave out, such as the release's `UNRELATED_CAPTIONS`"),
    )
    splits = "`[splits]`"
    images = "required"
    gold_boxes = "phrases"
    ids_have_suffix = False

    def __init__(
        self, folder: ImageFolder, annotations: Path, splits: Mapping[str, Path], unrelated: Path | None = None
    ) -> None:
        super().__init__(folder)
        self._annotations, self._lists, self._unrelated = annotations, splits, unrelated

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names in the dataset file, in its order."""
        return tuple(self._lists)

    def read(self, split: str) -> tuple[tuple[Example, ...], ImageSearch]:
        """The examples of a split. Only the annotations of images that were found are read."""
        search = self.folder.find(map(without_suffix, read_list(self._lists[split])))
        unrelated = read_unrelated(self._unrelated) if self._unrelated else ()
        return read_examples(self._annotations, search.found, unrelated), search


def read_examples(
    annotations: Path, images: Mapping[str, StoredImage], unrelated: Collection[tuple[str, int]] = ()
) -> tuple[Example, ...]:
    """The examples of `images`, in their order, with phrases and gold boxes.

    Args:
        annotations: the folder that holds `Sentences` and `Annotations`, or a tar file of it, compressed or not.
        images: image id -> the stored image; one of `UNKNOWN_SIZE` gets the size in its annotation.
        unrelated: (image id, sentence number from 1) of captions to leave out. An image without any
            other caption is left out too.

    Raises:
        DatasetError: a file that is missing or malformed; the message has the line.
    """
    wanted = {layout.format(image_id) for image_id in images for layout in (_SENTENCES, _ANNOTATIONS)}
    files = _read_folder(annotations, wanted) if annotations.is_dir() else _read_tar(annotations, wanted)
    examples = (_example(image_id, image, files, annotations, unrelated) for image_id, image in images.items())
    return tuple(example for example in examples if example.captions)


def parse_sentence(line: str) -> Caption:
    """The caption of one line of a sentence file, markup removed; phrases have types and chains but no boxes.

    Examples:
        >>> caption = parse_sentence("[/EN#1/people A man] in [/EN#2/clothing a red shirt] .")
        >>> caption.text, [(phrase.text, phrase.start) for phrase in caption.phrases]
        ('A man in a red shirt .', [('A man', 0), ('a red shirt', 9)])

    Raises:
        DatasetError: a bracket that is not part of a well-formed phrase.
        CaptionError: no words.
    """
    pieces: list[str] = []
    phrases: list[Phrase] = []
    length = end_of_last = 0
    for match in _PHRASE.finditer(line):
        pieces += [line[end_of_last : match.start()], match["words"]]
        start = length + len(pieces[-2])
        length = start + len(pieces[-1])
        types = tuple(match["types"][1:].split("/"))
        phrases.append(Phrase(match["words"], start, length, types, match["chain"]))
        end_of_last = match.end()
    pieces.append(line[end_of_last:])
    stray = next((piece for piece in pieces if "[" in piece or "]" in piece), None)
    if stray is not None:
        raise DatasetError(f"malformed markup near {stray.strip()[:60]!r}; expected [/EN#chain/type words]")
    return Caption("".join(pieces), tuple(phrases))


def parse_boxes(xml: bytes) -> tuple[tuple[int, int], Boxes]:
    """The original (width, height) of an image and the continuous boxes of each chain, from its annotation file.

    Raises:
        DatasetError: not XML, an entity or a document type declaration, no size, a box without four edges.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(xml, forbid_dtd=True)
    except DefusedXmlException as error:
        raise DatasetError(
            f"declares a document type or entities, which is refused ({plain_reason(error)}); remove it"
        ) from None
    except (ParseError, ValueError, LookupError) as error:  # the last two: an encoding that does not fit
        raise DatasetError(f"is not well-formed XML ({plain_reason(error)}); fetch it again") from None
    size = (int(_number(root, "size/width")), int(_number(root, "size/height")))
    if not is_possible_size(*size):
        raise DatasetError(f"gives the image {size[0]} x {size[1]} pixels; write its original size")
    boxes: Boxes = {}
    for thing in root.iter("object"):
        box = thing.find("bndbox")
        if box is None:  # flagged `scene` or `nobndbox`
            continue
        x1, y1, x2, y2 = (_number(box, edge) for edge in ("xmin", "ymin", "xmax", "ymax"))
        if x2 < x1 or y2 < y1:
            raise DatasetError(f"has a box turned inside out ({x1:g}, {y1:g}, {x2:g}, {y2:g}); expected min <= max")
        for name in thing.findall("name"):
            boxes.setdefault((name.text or "").strip(), []).append((x1 - 1, y1 - 1, x2, y2))
    return size, boxes


def read_unrelated(path: Path) -> frozenset[tuple[str, int]]:
    """(image id, sentence number from 1) of the captions that the list `UNRELATED_CAPTIONS` names.

    Raises:
        DatasetError: a line that is not an id and a number.
    """
    captions = set()
    for number, line in enumerate(path.read_text("utf-8-sig", errors="replace").splitlines(), start=1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        if len(fields) != 2 or not fields[1].isdecimal():
            raise DatasetError(f"{path}:{number}: {line.strip()!r} is not an image id and a sentence number from 1.")
        captions.add((fields[0], int(fields[1])))
    return frozenset(captions)


def _example(
    image_id: str,
    image: StoredImage,
    files: Mapping[str, bytes],
    annotations: Path,
    unrelated: Collection[tuple[str, int]],
) -> Example:
    sentences, xml = _SENTENCES.format(image_id), _ANNOTATIONS.format(image_id)
    for name in (sentences, xml):
        if name not in files:
            raise DatasetError(f"{annotations} has no {name}; add it, or leave {image_id!r} out with `exclude`.")
    try:
        size, boxes = parse_boxes(files[xml])
    except DatasetError as error:
        raise DatasetError(f"{annotations / xml} {error}.") from None

    if (image.width, image.height) == UNKNOWN_SIZE:
        image = StoredImage(image.path, *size)
    stored_boxes = _in_stored_frame(boxes, size, image)
    captions: list[Caption] = []
    lines = _lines(files[sentences], annotations / sentences)
    if not lines:
        raise DatasetError(f"{annotations / sentences} has no captions; leave {image_id!r} out with `exclude`.")
    for number, line in lines:
        if (image_id, number) in unrelated:
            continue
        try:
            caption = parse_sentence(line)
        except (DatasetError, CaptionError) as error:
            raise DatasetError(f"{annotations / sentences}:{number}: {str(error).rstrip('.')}.") from None
        boxed = (replace(p, boxes=stored_boxes.get(p.chain or "", p.boxes)) for p in caption.phrases)
        captions.append(Caption(caption.text, tuple(boxed)))

    return Example(image_id, image.path, tuple(captions), image.width, image.height, size)


def _in_stored_frame(boxes: Boxes, size: tuple[int, int], image: StoredImage) -> dict[str, Array]:
    """Chain id -> its boxes `[N, 4]`, each axis scaled by its own factor to the stored image."""
    scale = np.array([image.width / size[0], image.height / size[1]] * 2)
    frame = np.array([image.width, image.height] * 2)
    return {
        chain: np.clip(np.array(of_chain) * scale, 0, frame).astype(np.float32) for chain, of_chain in boxes.items()
    }


def _lines(content: bytes, path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text (byte {error.start}); convert it.") from None
    # Only a line feed ends a caption; str.splitlines would also split at rarer separators inside of one.
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _number(element: Element, tag: str) -> float:
    text = element.findtext(tag)
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        found = "no" if text is None else f"{text.strip()!r} as"
        raise DatasetError(f"has {found} <{tag.rpartition('/')[2]}> in <{element.tag}>; write a number of pixels")
    return value


def _read_folder(folder: Path, wanted: Collection[str]) -> dict[str, bytes]:
    files = {}
    for name in wanted:
        path = folder / name
        if path.is_file():
            _check_size(path.stat().st_size, path)
            files[name] = path.read_bytes()
    return files


def _read_tar(archive: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """The contents of the wanted files, from one pass over the archive; nothing is unpacked to disk."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r|*", tarinfo=TarMember) as tar:
            for member in members(tar):
                name = "/".join(member.name.split("/")[-2:])  # releases differ in the folder that they are packed in
                if name not in wanted or name in files or not member.isfile():
                    continue
                _check_size(member.size, archive / name)
                content = tar.extractfile(member)
                files[name] = content.read() if content else b""
                if len(files) == len(wanted):
                    break
    except ARCHIVE_ERRORS as error:
        raise DatasetError(
            f"{archive} cannot be read as a tar file ({plain_reason(error)}); "
            "`annotations` names a folder with Sentences and "
            "Annotations, or a .tar or .tar.gz of it. Fetch it again if it is one."
        ) from None
    return files


def _check_size(size: int, path: Path) -> None:
    if size > _MAX_FILE_BYTES:
        raise DatasetError(f"{path} has {size:,} bytes, the limit is {_MAX_FILE_BYTES:,}; it is no annotation file.")
