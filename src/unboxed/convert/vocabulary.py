"""Reads the vocabularies that belong to released checkpoints.

    {"word2idx": {"<pad>": 0, "<start>": 1, "<end>": 2, "<unk>": 3, "a": 4, ...}, "idx2word": ..., "idx": N}

is the JSON file of SCAN and of its successors. VSE++ has the same in a pickled object of a class `Vocabulary`; of it
only the attributes are read.
"""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from unboxed.data.restricted_pickle import read_plain_pickle
from unboxed.errors import DatasetError, ModelError, plain_reason

__all__ = ["read_words"]

_SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")

_CLASSES = (("vocab", "Vocabulary"), ("__main__", "Vocabulary"))


def read_words(path: Path) -> list[str]:
    """The word of each id of a vocabulary file, JSON or pickle.

    Raises:
        ModelError: no such file, one of another kind, or ids that are not 0, 1, 2, … each once.
    """
    try:
        content = _content(path)
    except (OSError, ValueError, RecursionError, DatasetError) as error:
        raise ModelError(
            f"{path} cannot be read as a vocabulary ({plain_reason(error)}); "
            "expected SCAN's JSON file or VSE++'s pickle."
        ) from None
    ids = content.get("word2idx") if isinstance(content, dict) else None
    if not isinstance(ids, dict) or not all(isinstance(word, str) and word for word in ids):
        raise ModelError(f'{path} has no dictionary "word2idx" of words; name the vocabulary of the checkpoint.')
    # `True` counts as 1 in Python; no vocabulary has it.
    if sorted(i for i in ids.values() if type(i) is int) != list(range(len(ids))):
        raise ModelError(f"{path}: the ids of its {len(ids):,} words are not 0 to {len(ids) - 1}, each once.")
    missing = [word for word in _SPECIAL if word not in ids]
    if missing:
        raise ModelError(f"{path} lacks the words {', '.join(missing)}; name the vocabulary of the checkpoint.")
    return sorted(ids, key=lambda word: int(ids[word]))


def _content(path: Path) -> Any:
    with path.open("rb") as stream:
        is_json = stream.read(1).strip() in (b"{", b"[", b"", codecs.BOM_UTF8[:1])  # no pickle begins so
    if is_json:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    return read_plain_pickle(path, records=_CLASSES)
