"""The header of a region store, `store.json`: how its regions were found, and what the columns of its arrays mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.errors import RegionsError, StoreError, plain_reason
from unboxed.regions.settings import RegionSettings, settings_from_dict
from unboxed.runtime.atomic import write_json
from unboxed.runtime.confinement import is_inside
from unboxed.runtime.digests import report_change, with_digest
from unboxed.runtime.json_values import texts_of

__all__ = ["StoreHeader"]

_FORMAT, _VERSION = "unboxed-regions", 2
_IN_16_BITS, _IN_8_BITS = 1, 2  # versions that describe a store


@dataclass(frozen=True)
class StoreHeader:
    """What `RegionStore` has of the attributes of the same names.

    The names and blocks are empty until the first image is added.
    """

    settings: RegionSettings
    class_names: tuple[str, ...] = ()
    source_names: tuple[str, ...] = ()
    feature_blocks: tuple[tuple[str, int], ...] = ()
    int8: bool = False

    @staticmethod
    def read(path: Path) -> StoreHeader:
        """The header of the store in `path`; a change by hand is reported.

        Raises:
            StoreError: no store there, a damaged header, or one of a newer version.
        """
        file = path / "store.json"
        if not file.is_file():
            raise StoreError(f"{path} is not a region store: it has no store.json. Make one with `unboxed regions`.")
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(path, error) from error
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise StoreError(f"{file} does not describe a region store of unboxed.")
        version = values.get("version")
        if not isinstance(version, int) or version > _VERSION:
            raise StoreError(f"{path} has version {version!r}; this unboxed reads up to {_VERSION}. Update unboxed.")
        header = _parsed(path, values)
        for name, model in header.settings.model_files.items():
            if not is_inside(model, path):
                raise StoreError(
                    f"{file} names {model} as {name}, which is outside the store; copy that file into the store's "
                    "folder and name it there."
                )
        report_change(file, values)
        return header

    def write(self, path: Path) -> None:
        """Write the header of the store in `path`."""
        values: dict[str, Any] = {
            "format": _FORMAT,
            "version": _IN_8_BITS if self.int8 else _IN_16_BITS,
            "settings": self.settings.to_dict(path),
            "class_names": self.class_names,
            "source_names": self.source_names,
            "feature_blocks": self.feature_blocks,
            **({"int8": True} if self.int8 else {}),
        }
        write_json(path / "store.json", with_digest(values))


def _parsed(path: Path, values: dict[str, Any]) -> StoreHeader:
    try:
        return StoreHeader(
            settings=settings_from_dict(values["settings"], path),
            class_names=texts_of(values["class_names"]),
            source_names=texts_of(values["source_names"]),
            feature_blocks=tuple((str(name), int(width)) for name, width in values["feature_blocks"]),
            int8=values.get("int8") is True,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(path, error) from error
    except RegionsError as error:
        raise StoreError(f"{path / 'store.json'}: {error}") from error


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path / 'store.json'} is damaged ({plain_reason(error)}); remove {path} and find the regions again."
    )
