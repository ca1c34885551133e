"""The folder of an index: which run encoded it, and where the parts are.

INDEX/index.json            which of the folders below counts, written last
INDEX/0123456789ab/         what one run made: its fingerprint
    run/                    a copy of the run; nothing outside the index is needed to search it
    probes.json             the made-up sentences
    shards/*.safetensors    codes
    table.safetensors       images, captions and candidates, written in one step
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.errors import SearchError
from unboxed.inference.grounder import Grounder
from unboxed.recipes import recipe_to_dict
from unboxed.search.probe_captions import probe_sentences

__all__ = ["IndexFolder", "run_fingerprint"]

_FORMAT, _VERSION = "unboxed-index", 1
_OWN = re.compile(r"[0-9a-f]{12}")
_UNFINISHED = re.compile(r"[0-9a-f]{12}(\.\d+)?|\.index\.json\.\d+")


@dataclass(frozen=True)
class IndexFolder:
    """The part of an index that one run made.

    Attributes:
        out: the index.
        name: of the part.
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
        """The file of images."""
        return self.path / "table.safetensors"

    @property
    def shards(self) -> Path:
        """The folder of codes."""
        return self.path / "shards"

    def probes(self) -> tuple[str, ...]:
        """The made-up sentences.

        Raises:
            SearchError: they cannot be read.
        """
        try:
            return tuple(str(text) for text in json.loads((self.path / "probes.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise SearchError(f"{self.path / 'probes.json'} is damaged ({error}); index the images anew.") from None

    @staticmethod
    def of(out: Path) -> IndexFolder | None:
        """What `out` holds; None where there is no finished index.

        Raises:
            SearchError: damaged, or of a newer version.
        """
        file = out / "index.json"
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise SearchError(f"{file} does not describe an index of unboxed.")
            version, name = content["version"], content["made_by"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SearchError(f"{file} is damaged ({error!r}); index the images anew.") from None
        if not isinstance(version, int) or version > _VERSION:
            raise SearchError(f"{out} has version {version!r}; this unboxed reads up to {_VERSION}. Update unboxed.")
        if not isinstance(name, str) or not _OWN.fullmatch(name):
            raise SearchError(f"{file} is damaged (made_by is {name!r}); index the images anew.")
        return IndexFolder(out, name)

    @staticmethod
    def begin(out: Path, run: Path, grounder: Grounder, *, again: bool = False) -> IndexFolder:
        """The part of the run in `out`, gone on with or begun.

        Args:
            out: the index.
            run: the run.
            grounder: its model.
            again: begin anew where another run made the index.

        Raises:
            SearchError: another run made it, or `out` holds something else.
        """
        name = run_fingerprint(run, grounder)[:12]
        there = IndexFolder.of(out)
        if there is not None and there.name != name and not again:
            raise SearchError(
                f"{out} was encoded by another run than {run}, or by this one before it was trained further. "
                "Add --again to look at all its images anew with this run, or name another --out."
            )
        if there is None and out.exists():
            strange = not out.is_dir() or any(not _UNFINISHED.fullmatch(entry.name) for entry in out.iterdir())
            if strange:
                raise SearchError(f"{out} exists and is no index; name a new folder.")
        part = IndexFolder(out, name)
        if not (part.path / "probes.json").is_file():
            beside = out / f"{name}.{os.getpid()}"
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(part.path, ignore_errors=True)
            try:
                (beside / "shards").mkdir(parents=True)
                grounder.save(beside / "run")
                _write_json(beside / "probes.json", list(probe_sentences(grounder.vocabulary)))
                beside.rename(part.path)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        return part

    def finish(self, run: Path) -> None:
        """Let the part count, and drop what other runs made."""
        content = {"format": _FORMAT, "version": _VERSION, "made_by": self.name, "run": str(run)}
        _write_json(self.out / "index.json", content)
        for entry in self.out.iterdir():
            if entry.is_dir() and entry.name != self.name and _UNFINISHED.fullmatch(entry.name):
                shutil.rmtree(entry)


def run_fingerprint(run: Path, grounder: Grounder) -> str:
    """sha256 over all that decides a photograph's codes and a caption's score: weights, words, choices, regions."""
    config = grounder.config
    decides = {
        "recipe": config.recipe,
        "choices": recipe_to_dict(config.options) | {"semantic": None},  # the prior's own files are read below
        "feature_blocks": config.feature_blocks,
        "class_names": config.class_names,
        "regions": config.regions.fingerprint(),
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode())
    parts = [run / "model.safetensors", run / "vocab.json", *sorted((run / "prior").glob("*"))]
    for path in (*parts, *sorted((run / "text").rglob("*"))):
        if path.is_file():
            digest.update(path.relative_to(run).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _write_json(path: Path, content: Any) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)
