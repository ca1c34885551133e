"""Finds the file that a name in a table means, where no file has exactly this name.

Tables come from other programs and systems: `train\\0001.jpg`, `C:\\photos\\a.jpg`, `a.JPG` for `a.jpg`, `a.jpg` for
`a.jpeg`, `caf%C3%A9.jpg`, other Unicode forms, `a+b.jpg` for `a b.jpg`, `8f2b1c3d-a.jpg` and `?d=a.jpg` for `a.jpg`,
`COCO_train2014_000000000009.jpg` or `9` for `000000000009.jpg`, and images that lie in several folders. A name is
matched only where one file is meant; otherwise a hint names the files.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote

from unboxed.data.images import SUFFIXES, without_suffix
from unboxed.runtime.urls import split_url

__all__ = ["ImageNames", "spellings"]

_FAMILIES = ((".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg"), (".tif", ".tiff"), (".heic", ".heif", ".hif"))
_FAMILY = {suffix: family[0] for family in _FAMILIES for suffix in family}
_COCO = re.compile(r"^coco_(train|val|test)\d{4}_(?=\d{12}$)")
_UPLOAD = re.compile(r"^[\da-f]{8}-(?=.)")  # what Label Studio puts before the names of uploaded files
_BETWEEN = re.compile(r"[\s_+-]+")  # words of a name
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|test)(?![a-z])")
_NEAR = 0.8  # similarity of names with the same digits
_PART = 0.3  # and of a name and a part of it
_COMPARED = 20_000  # names, at most, that a near one is searched in


def spellings(name: str) -> tuple[str, ...]:
    """Ways to write a name: as it is, then with slashes, without URL escapes, and in both Unicode forms.

    >>> spellings("b\\\\a%20b.jpg")
    ('b\\\\a%20b.jpg', 'b/a%20b.jpg', 'b/a b.jpg')
    """
    plain = name.strip().removeprefix("file://")
    forms = [name, plain, plain.replace("\\", "/")]
    forms.append(unquote(forms[-1]))
    forms += [unicodedata.normalize(form, forms[-1]) for form in ("NFC", "NFD")]
    return tuple(dict.fromkeys(form for form in forms if form))


class ImageNames:
    """The image files of a folder, by what their names have in common with other ways to write them.

    Args:
        files: the files, relative to the folder, with slashes.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._by_key: dict[str, list[str]] = {}
        self._folders: set[tuple[str, ...]] = set()
        self._by_digits: dict[str, dict[str, str]] = {}  # digits of a stem -> stem -> file
        for file in files:
            self._by_key.setdefault(_key(file), []).append(file)
            self._by_digits.setdefault(_digits(stem := _stem(file)), {}).setdefault(stem, file)
            self._folders.add(_folders(file))

    def match(self, names: Collection[str], taken: Collection[str]) -> dict[str, str]:
        """Name -> file, for names of which one file is meant and no other name means the same file.

        Args:
            names: names that no file has exactly.
            taken: files that other names of the table have.
        """
        best: dict[str, tuple[int, str]] = {}  # file -> how much of the name's folders it shares, and the name
        shared_by: dict[str, set[str]] = {}
        for name in names:
            found = self._candidates(name)
            if len(found) == 1 and found[0] not in taken and not self._contradicts(name, found[0]):
                file = found[0]
                rank = (_shared(name, file), name)
                shared_by.setdefault(file, set()).add(name)
                best[file] = max(best.get(file, rank), rank)
        matched = {}
        for file, (shared, name) in best.items():
            others = shared_by[file] - {name}
            if not any(_shared(other, file) == shared for other in others):
                matched[name] = file
        return matched

    def hint(self, name: str) -> str:
        """What a person needs to know about a name without a file: the files that may be meant; "" if none is near."""
        near = self._by_key.get(_key(name), [])
        if not near:  # of names with other digits, `img_12` and `img_13`, neither is meant for the other
            wanted = _stem(name)
            stems = self._by_digits.get(_digits(wanted), {})
            compared = stems if len(stems) <= _COMPARED else {}
            longer = [
                stem for stem in compared if min(len(stem), len(wanted)) > 1 and (wanted in stem or stem in wanted)
            ]
            close = difflib.get_close_matches(wanted, longer, n=1, cutoff=_PART)
            close = close or difflib.get_close_matches(wanted, compared, n=1, cutoff=_NEAR)
            near = [stems[stem] for stem in close]
        if not near:
            return ""
        return f"there is {' and '.join(near[:2])}" + (f" and {len(near) - 2} more" if len(near) > 2 else "")

    def _candidates(self, name: str) -> list[str]:
        """The files of the same key and kind that share most of the name's folders; of these the best spelling."""
        kind = _kind(name)
        found = [file for file in self._by_key.get(_key(name), []) if kind in ("", _kind(file))]
        for rank in (_shared, _same_spelling):
            most = max((rank(name, file) for file in found), default=0)
            found = [file for file in found if rank(name, file) == most]
        return found

    def _contradicts(self, name: str, file: str) -> bool:
        """Whether the folders of a name speak against a file in other folders: they exist, or are of another split."""
        folders = _folders(name)
        if not folders or _shared(name, file) == len(folders):
            return False
        if folders in self._folders:
            return True
        mentioned, found = (set(_SPLIT.findall("/".join(_folders(text)))) for text in (name, file))
        coco = len(stem := without_suffix(PurePosixPath(file).name)) == 12 and stem.isdigit()
        return bool(mentioned and found and not mentioned & found and not coco)


def _plain(name: str) -> str:
    """The path of a name in one Unicode form and letter case, with slashes and without URL escapes."""
    path = _asked_for(name) if "?" in name else split_url(name).path if "://" in name else name
    if path.isascii() and "%" not in path and "\\" not in path:  # nearly every name
        return path.strip().lower()
    return unicodedata.normalize("NFC", spellings(path)[-1]).casefold()


def _asked_for(name: str) -> str:
    """The file that an address with a query is for, such as `/data/local-files/?d=a.jpg` of Label Studio."""
    address = split_url(name)
    files = [address.path, *(value for _, value in parse_qsl(address.query))]
    return next((file for file in files if without_suffix(file) != file), name)


def _stem(name: str) -> str:
    return without_suffix(_plain(name).rpartition("/")[2])


def _digits(stem: str) -> str:
    return re.sub(r"\D", "", stem).lstrip("0")


def _key(name: str) -> str:
    stem = _BETWEEN.sub(" ", _UPLOAD.sub("", _COCO.sub("", _stem(name))))
    return (stem.lstrip("0") or "0") if stem.isascii() and stem.isdigit() else stem


def _folders(name: str) -> tuple[str, ...]:
    return tuple(part for part in _plain(name).split("/")[:-1] if part not in ("", "."))


def _shared(name: str, file: str) -> int:
    """The number of folders, from the last one, that both have."""
    count = 0
    for ours, theirs in zip(reversed(_folders(name)), reversed(_folders(file)), strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _same_spelling(name: str, file: str) -> int:
    ours, theirs = (spellings(text)[-1].rpartition("/")[2] for text in (name, file))
    return (ours == theirs) + (ours.casefold() == theirs.casefold())


def _kind(name: str) -> str:
    """The image format that a suffix stands for; "" for a name without the suffix of an image."""
    suffix = PurePosixPath(_plain(name)).suffix
    return _FAMILY.get(suffix, suffix) if suffix in SUFFIXES else ""
