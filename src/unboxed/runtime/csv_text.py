"""Tables as CSV in which no text is a formula: spreadsheets run what begins with `=`, and texts come from strangers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["csv_text", "no_formula"]

_NUMBERS = re.compile(r"[-+.e\d ]*")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A line with the names of the columns, then the rows; texts are `no_formula`, numbers as they are."""
    written = io.StringIO(newline="")
    # Python before 3.13 leaves carriage returns without quotes, and reads them as the ends of lines.
    plain, quoted = (
        csv.writer(written, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )
    plain.writerow(columns)
    for row in rows:
        cells = [no_formula(cell) if isinstance(cell, str) else cell for cell in row]
        (quoted if any("\r" in str(cell) for cell in cells) else plain).writerow(cells)
    return written.getvalue()


def no_formula(text: str) -> str:
    """The text, after an apostrophe where a spreadsheet might take it for a formula.

    Examples:
        >>> no_formula("a dog"), no_formula('=HYPERLINK("https://example.org")')
        ('a dog', '\\'=HYPERLINK("https://example.org")')
    """
    runs = text.lstrip(" ").startswith(_FORMULA) and not _NUMBERS.fullmatch(text)
    return f"'{text}" if runs else text
