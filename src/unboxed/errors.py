"""Every error a user can cause. Each message says what was found, what was expected, and names the fix."""

from __future__ import annotations

__all__ = [
    "BenchmarkError",
    "CaptionError",
    "DatasetError",
    "EvaluationError",
    "ExportError",
    "ImageError",
    "ModelError",
    "RegionsError",
    "RunError",
    "SearchError",
    "StoreError",
    "StudioError",
    "UnboxedError",
]


class UnboxedError(Exception):
    """The base of all errors of this library; the command line prints it without a traceback and exits with 2."""


class DatasetError(UnboxedError):
    """A dataset file, an annotation or a split that cannot be read as described."""


class ImageError(UnboxedError):
    """An image that cannot be decoded safely: missing, truncated, too large, or no image at all."""


class CaptionError(UnboxedError):
    """A caption without words, or a phrase whose span does not lie in its caption."""


class RegionsError(UnboxedError):
    """A region source that cannot work: an unknown detector layout, missing class names, no regions at all."""


class StoreError(UnboxedError):
    """A feature store that does not fit: made with other settings, incomplete, or damaged."""


class ModelError(UnboxedError):
    """A model file or a language model that cannot be used."""


class RunError(UnboxedError):
    """A run folder that is missing, damaged, made by a newer version, or not to be resumed like this."""


class EvaluationError(UnboxedError):
    """Answers that cannot be scored or compared: no gold box at all, or scores of different phrases."""


class ExportError(UnboxedError):
    """An export that cannot be made: a recipe without such graphs, a format that cannot hold it, a folder in use."""


class BenchmarkError(UnboxedError):
    """A benchmark that does not exist, or an installation without any."""


class StudioError(UnboxedError):
    """A studio that cannot be started as asked: a taken port, an open address without a token, no images."""


class SearchError(UnboxedError):
    """An index that is missing, damaged, of another run or a newer version, or cannot answer what is asked."""
