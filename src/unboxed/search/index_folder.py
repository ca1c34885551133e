"""The folder of an index: the run that encoded it, and the paths of its files.

INDEX/index.json            names the folder below that is in use, written last
INDEX/0123456789ab/         the part of one run, named by its fingerprint
    run/                    a copy of the run; nothing outside the index is needed to search it
    probes.json             the anchor captions
    shards/*.safetensors    embeddings
    table.safetensors       images, captions and vectors of candidates
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.errors import SearchError, plain_reason
from unboxed.inference.grounder import Grounder
from unboxed.runtime.atomic import atomic_folder, is_temporary, write_json
from unboxed.runtime.digests import check_digest, record_digest, verified
from unboxed.runtime.locks import remove_left_overs
from unboxed.search.candidates import anchor_captions

__all__ = ["IndexFolder", "run_fingerprint"]

_FORMAT, _VERSION = "unboxed-index", 1
_NAME = re.compile(r"[0-9a-f]{12}")
# Parts, finished or not, and what a process that was killed left of them and of index.json, now or in earlier versions.
_UNFINISHED = re.compile(r"\.?[0-9a-f]{12}(\.\d+(-\d+)?)?|\.index(\.json)?\.\d+(-\d+\.json)?|\.lock")


@dataclass(frozen=True)
class IndexFolder:
    """The part of an index that one run made.

    Attributes:
        out: the folder of the index.
        name: of the part's folder.
    """

    out: Path
    name: str

    @property
    def path(self) -> Path:
        """The part's folder."""
        return self.out / self.name

    @property
    def run(self) -> Path:
        """The copy of the run."""
        return self.path / "run"

    @property
    def table(self) -> Path:
        """The file of the table."""
        return self.path / "table.safetensors"

    @property
    def shards(self) -> Path:
        """The folder of the shards."""
        return self.path / "shards"

    def anchor_captions(self) -> tuple[str, ...]:
        """The anchor captions.

        Raises:
            SearchError: their file is damaged.
        """
        try:
            check_digest(self._anchors)
            return tuple(str(text) for text in json.loads(self._anchors.read_text(encoding="utf-8")))
        except (OSError, ValueError, OverflowError, TypeError, RecursionError) as error:
            raise SearchError(f"{self._anchors} is damaged ({plain_reason(error)}); index the images again.") from None

    @staticmethod
    def of(out: Path) -> IndexFolder | None:
        """The part in use of the index `out`; None where there is no finished index.

        Raises:
            SearchError: `index.json` is damaged, or of a newer version.
        """
        file = out / "index.json"
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise SearchError(f"{file} does not describe an index of unboxed.")
            version, name = content["version"], content["made_by"]
        except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError) as error:
            raise SearchError(
                f"{file} is damaged ({plain_reason(error)}); remove {out} and index the images again."
            ) from None
        if not isinstance(version, int) or version > _VERSION:
            raise SearchError(f"{out} has version {version!r}; this unboxed reads up to {_VERSION}. Update unboxed.")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SearchError(f"{file} is damaged (made_by is {name!r}); remove {out} and index the images again.")
        return IndexFolder(out, name)

    @staticmethod
    def begin(out: Path, run: Path, grounder: Grounder, *, again: bool = False) -> IndexFolder:
        """The part of a run in the index `out`; it is created if there is none. The caller holds the lock of `out`.

        Args:
            out: the folder of the index.
            run: the folder of the run.
            grounder: its model.
            again: begin a part also where the index in use was made by another run.

        Raises:
            SearchError: the index was made by another run, or `out` is something else.
        """
        name = run_fingerprint(run, grounder)[:12]
        in_use = IndexFolder.of(out)
        if in_use is not None and in_use.name != name and not again:
            raise SearchError(
                f"{out} was encoded by another run than {run}, or by this one before it was trained further. "
                "Add --again to encode all its images with this run, or name another --out."
            )
        if in_use is None and out.exists() and not (out.is_dir() and all(map(_is_unfinished, out.iterdir()))):
            raise SearchError(f"{out} exists and is no index; name a new folder.")
        remove_left_overs(out, [entry.name for entry in out.glob("*") if _NAME.fullmatch(entry.name)])
        part = IndexFolder(out, name)
        if not part._anchors.is_file():
            with atomic_folder(part.path) as partial:
                (partial / "shards").mkdir()
                grounder.save(partial / "run")
                write_json(partial / part._anchors.name, list(anchor_captions(grounder.vocabulary)))
                record_digest(partial, partial / part._anchors.name)
        elif any(reason is not None for _, reason in verified(part.run)):
            with atomic_folder(part.run) as partial:  # the copy is damaged
                grounder.save(partial)
        return part

    @property
    def _anchors(self) -> Path:
        return self.path / "probes.json"

    def finish(self, run: Path) -> None:
        """Put the part into use, and delete the parts of other runs."""
        content = {"format": _FORMAT, "version": _VERSION, "made_by": self.name, "run": str(run)}
        write_json(self.out / "index.json", content)
        for entry in self.out.iterdir():
            if entry.is_dir() and entry.name != self.name and _UNFINISHED.fullmatch(entry.name):
                shutil.rmtree(entry)


def _is_unfinished(entry: Path) -> bool:
    """Whether it may be in the folder of an index that no run has finished yet."""
    return _UNFINISHED.fullmatch(entry.name) is not None or is_temporary(entry.name)


def _saved_options(run: Path) -> dict[str, Any]:
    """The options as the run's own version wrote them: those that later versions added are not among them."""
    options: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))["choices"]
    return options


def run_fingerprint(run: Path, grounder: Grounder) -> str:
    """sha256 of everything that embeddings and scores depend on: weights, vocabulary, options, regions and prior."""
    config = grounder.config
    content = {
        "recipe": config.recipe,
        "choices": _saved_options(run) | {"semantic": None},  # the prior's own files are read below
        "feature_blocks": config.feature_blocks,
        "class_names": config.class_names,
        "regions": config.regions.fingerprint(),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
    parts = [run / "model.safetensors", run / "vocab.json", *sorted((run / "prior").glob("*"))]
    for path in (*parts, *sorted((run / "text").rglob("*"))):
        if path.is_file():
            digest.update(path.relative_to(run).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
