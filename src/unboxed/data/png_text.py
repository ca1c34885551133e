"""PNG files whose text is larger than Pillow accepts: the file without its text, of which nothing is used here."""

from __future__ import annotations

import struct

__all__ = ["is_text_error", "without_text"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # the colour profile too: it is compressed, limited, and not used


def is_text_error(error: BaseException) -> bool:
    """Whether Pillow refused an image for the size of its text, which it does against decompression bombs."""
    return isinstance(error, ValueError) and ("MAX_TEXT_CHUNK" in str(error) or "MAX_TEXT_MEMORY" in str(error))


def without_text(data: bytes) -> bytes:
    """The bytes of a PNG file without its text and colour profile; a damaged end stays as it is."""
    kept = [data[: len(_SIGNATURE)]]
    place = len(_SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length  # length, kind, content, checksum
        if kind not in _TEXT:
            kept.append(data[place:end])
        place = end
    return b"".join(kept)
