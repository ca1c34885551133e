"""Tar files, which may come from anyone: members with limited headers, and an error for a damaged header."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, Self

__all__ = ["TarMember", "members"]

_LARGEST_HEADER = 1_000_000  # bytes; a header may hold a long name and further attributes


class TarMember(tarfile.TarInfo):
    """A member of a tar file; `tarfile.open` gets this class as `tarinfo`.

    Python reads the whole header of a member, however large it is, and after a member with a damaged header it ends the
    list of members as if it were complete. Here both raise `tarfile.ReadError`.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """The next member. A header may consist of several blocks, for each of which Python calls this again."""
        opened: Any = archive  # the types of Python do not allow another stream
        stream = opened.fileobj
        opened.fileobj = _Limited(stream, _LARGEST_HEADER)
        try:
            member = super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in ("InvalidHeaderError", "TruncatedHeaderError"):  # the others are of its end
                raise tarfile.ReadError(f"a member has a damaged header: {error}") from None
            raise
        finally:
            opened.fileobj = stream
        if sum(len(name) + len(text) for name, text in archive.pax_headers.items()) > _LARGEST_HEADER:
            raise tarfile.ReadError(_too_large())
        return member


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file in order; the archive itself keeps none of them."""
    for member in archive:
        yield member
        archive.members.clear()  # type: ignore[attr-defined]


class _Limited:
    """A stream from which at most so many bytes are read."""

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(_too_large())
        content: bytes = self._stream.read(size)
        return content

    def tell(self) -> int:
        place: int = self._stream.tell()
        return place


def _too_large() -> str:
    return f"a member has a header of more than {_LARGEST_HEADER:,} bytes"
