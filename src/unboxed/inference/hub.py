"""Models on the Hugging Face Hub: model cards, and download and upload with the extra `hub`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import jinja2

from unboxed import __version__
from unboxed.errors import RunError, plain_reason
from unboxed.inference.run_config import RunConfig
from unboxed.regions.settings import HUB_MODELS
from unboxed.runtime.hub import require_hub

__all__ = ["fetched", "model_card", "uploaded"]

_NOT_COUNTED = {"photos": 0, "captions": 0}
_FILES = ("*.json", "*.safetensors", "README.md", "prior/*", "regions/*", "text/*")


def fetched(name: str, revision: str | None = None) -> Path:
    """The local folder of a model of the Hub, downloaded unless the local cache has it.

    Raises:
        RunError: no such model, no way to reach the Hub, or no `huggingface_hub`.
    """
    library = _library()
    try:
        require_hub()
        local = False
    except OSError:
        local = True
    try:
        path = library.snapshot_download(name, revision=revision, allow_patterns=list(_FILES), local_files_only=local)
        return Path(path)
    except Exception as error:  # the library raises a dozen kinds, those of its HTTP client among them
        raise RunError(
            f"{name!r} is no folder here, and cannot be downloaded from the Hub ({plain_reason(error)}); "
            "name a run's folder, or a model of the Hub as owner/name."
        ) from error


def uploaded(save: Callable[[Path], None], repo: str, private: bool, token: str | None) -> str:
    """Upload the files that `save` writes to the repository `repo`, and return its address.

    Raises:
        RunError: the Hub cannot be reached or refuses, or no `huggingface_hub`.
    """
    library = _library()
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        try:
            api = library.HfApi(token=token)
            api.create_repo(repo, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload with unboxed"))
        except Exception as error:
            raise RunError(
                f"{repo!r} cannot be uploaded ({plain_reason(error)}); log in with `hf auth login`, or give a token "
                "that may write."
            ) from error


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise RunError('The Hugging Face Hub needs the extra "hub": pip install "unboxed[hub]".') from error
    return huggingface_hub


def model_card(config: RunConfig) -> str:
    """The card as Markdown, with the metadata header of the Hugging Face Hub."""
    facts = config.facts
    data = Path(str(facts.get("data", "an unnamed dataset")))
    regions = config.regions
    models = {setting: path.name for setting, path in regions.model_files.items() if setting != "class_names"}
    models |= {setting: Path(model).name for setting in HUB_MODELS if (model := getattr(regions, setting))}
    named = ", ".join(models.values())
    best = facts.get("best", {})
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(files("unboxed.inference").joinpath("model_card.md").read_text(encoding="utf-8"))
    return template.render(
        recipe=config.recipe,
        data=data.parent.name if data.stem == "data" and data.parent.name else data.stem,
        train=_NOT_COUNTED | facts.get("train", {}),
        validation=_NOT_COUNTED | facts.get("validation", {}),
        regions=f"found and described by {named}" if named else "segments and a grid, without weights",
        schedule=config.options.schedule,
        teacher=facts.get("teacher"),
        best=best if "val_loss" in best else None,
        presence=config.presence,
        boxes=facts.get("corrections", {}).get("boxes", 0),
        version=facts.get("unboxed", __version__),
        count="{:,}".format,
    )
