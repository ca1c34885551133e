"""Claims of the papers as data.

A claim states that the first of two sides scores higher than the second in one metric. Each side is a recipe with its
options, as on the command line, or an untrained baseline: `baseline: image centre`, or `baseline: best`, the best one
in that metric. `verdicts.py` judges them. `claims.json` has a note on further experiments for some claims, and a
paragraph for each paper.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from unboxed.errors import EvaluationError

__all__ = ["BASELINE", "CLAIMS", "Claim", "DatasetKind", "paper_notes", "tried_notes"]

BASELINE = "baseline: "
"""Prefix of a side that is an untrained baseline."""
DatasetKind = Literal["drawn", "real"]
"""Images of `unboxed scenes`, or any others."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        name: short and unique; the key of its note.
        paper: the paper that makes it.
        text: the claim in words.
        first, second: recipes with options, or baselines; the claim is that the first scores higher.
        metric: the metric to compare.
        kinds: the kinds of datasets to test it on.
        grid: further options of the first side. The options with the highest rsum on the validation split, with one
            seed, are the ones that the claim is tested with.
    """

    name: str
    paper: str
    text: str
    first: str
    second: str
    metric: str
    kinds: tuple[DatasetKind, ...] = ("drawn", "real")
    grid: tuple[str, ...] = ()

    @property
    def recipes(self) -> tuple[str, ...]:
        """The sides that are trained, without a first side whose options are still to be chosen."""
        sides = (self.second,) if self.grid else (self.first, self.second)
        return tuple(side for side in sides if not side.startswith(BASELINE))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The recipes that the first side is chosen from."""
        return tuple(f"{self.first} {options}" for options in self.grid)


_NPAIR = " --contrast npair --images-per-batch 32 --epochs 12"
"""Options that replace the hinge of a recipe of matching by the N-pair loss."""


def _weights(*weights: float) -> tuple[str, ...]:
    return tuple(f"--constraint-weight {weight} --constraint-margin 0.2" for weight in weights)


_HINGE_GRIDS = {
    "ccr": (
        *_weights(0.03, 0.1, 0.3),
        "--constraint-weight 0.1 --constraint-margin 0.05",
        "--constraint-weight 0.1 --constraint-margin 0.2 --ccr-variant topk",
    ),
    "ccs": (
        *_weights(0.03, 0.1, 0.3),
        "--constraint-weight 0.1 --constraint-margin 0.05",
        "--constraint-weight 0.1 --constraint-margin 0.2 --ccs-variant content",
    ),
    "both": _weights(0.03, 0.1, 0.3),
}
"""What is tried of each constraint; the paper's weights and margins are not public."""
_NPAIR_GRIDS = dict.fromkeys(_HINGE_GRIDS, _weights(0.1, 0.3))

_CONSTRAINED = tuple(
    Claim(
        f"{constraints}-{recipe}{name}-{metric}",
        "Chen et al., WACV 2023 (reconstruction)",
        f"{text} on {recipe.upper()}{objective}: better {quality}",
        f"{recipe}{options} --constraints {constraints}",
        f"{recipe}{options}",
        metric,
        grid=grids[constraints],
    )
    for recipe, name, objective, options, grids in (
        *((recipe, "", "", "", _HINGE_GRIDS) for recipe in ("scan", "bfan", "pfan", "sgr")),
        *((recipe, "-npair", " with the N-pair loss", _NPAIR, _NPAIR_GRIDS) for recipe in ("scan", "bfan")),
    )
    for constraints, text in (("ccr", "CCR"), ("ccs", "CCS"), ("both", "CCR and CCS"))
    for metric, quality in (("attention_f1", "attention F1"), ("rsum", "retrieval"))
)

_HOSTS = {
    "scan": "SCAN (ECCV 2018)",
    "bfan": "BFAN (ACM MM 2019)",
    "pfan": "PFAN (IJCAI 2019)",
    "sgr": "SGR (AAAI 2021)",
    "saf": "SAF (AAAI 2021)",
}

_ATTENTION = tuple(
    Claim(
        f"{recipe}-vse{name}",
        paper,
        f"{recipe.upper()} retrieves better than one vector per image and caption{objective}",
        f"{recipe}{options}",
        f"vse{options}",
        "rsum",
    )
    for recipe, paper in _HOSTS.items()
    for name, objective, options in (
        ("", "", ""),
        ("-npair", ", with the N-pair loss", _NPAIR),
    )
)

_BETTER_THAN_SCAN = tuple(
    Claim(f"{recipe}-scan", paper, f"{recipe.upper()} retrieves better than SCAN", recipe, "scan", "rsum")
    for recipe, paper in _HOSTS.items()
    if recipe != "scan"
)

_FIXED = "--negative-count 25 --negative-nouns fixed"
_NEGATIVES = tuple(
    Claim(
        f"infoground-{name}-{metric.partition('_')[0]}",
        "InfoGround (ECCV 2020)",
        f"negatives of a language model are better than {text}",
        f"infoground --negatives lm {_FIXED}",
        f"infoground --negatives {negatives}",
        metric,
    )
    for name, text, negatives in (
        ("random", "random nouns", f"random {_FIXED}"),
        ("none", "the contrast of images alone", "none"),
    )
    for metric in ("pointing_any", "recall_any@1")
)

_MAP_OPTIONS: tuple[tuple[DatasetKind, str], ...] = (
    ("drawn", "--epochs 24 --cells 20"),
    ("real", "--epochs 8 --cells 10 --train-fraction 1"),
)

CLAIMS: tuple[Claim, ...] = (
    *_NEGATIVES,
    Claim(
        "ckd-distillation",
        "CKD (CVPR 2021)",
        "distillation from the detector is better than training without it",
        "ckd",
        "ckd --distillation 0",
        "recall_any@1",
    ),
    Claim(
        "ckd-names",
        "CKD (CVPR 2021)",
        "a teacher that knows related words is better than one that knows class names alone",
        "ckd",
        "ckd --match names --cooccurrence 0",
        "recall_any@1",
    ),
    Claim(
        "ckd-without-classes",
        "CKD (CVPR 2021)",
        "distillation is better without class inputs too, so no classes are needed at test time",
        "ckd --no-class-inputs",
        "ckd --no-class-inputs --distillation 0",
        "recall_any@1",
    ),
    Claim(
        "sprm-prior",
        "SPRM (BMVC 2023)",
        "the untrained semantic prior alone is better than the best baseline",
        "sprm --untrained",
        f"{BASELINE}best",
        "recall_any@1",
    ),
    Claim(
        "sprm-refinement",
        "SPRM (BMVC 2023)",
        "the refined prior is better than the prior alone",
        "sprm",
        "sprm --untrained",
        "recall_any@1",
    ),
    Claim(
        "sprm-tenth",
        "SPRM (BMVC 2023)",
        "the refined prior is better than the prior alone with a tenth of the training images too",
        "sprm --train-fraction 0.1 --epochs 60",
        "sprm --untrained --train-fraction 0.1",
        "recall_any@1",
    ),
    Claim(
        "sprm-hundredth",
        "SPRM (BMVC 2023)",
        "the refined prior is better than the prior alone with a hundredth of the training images too",
        "sprm --train-fraction 0.01 --epochs 200",
        "sprm --untrained --train-fraction 0.01",
        "recall_any@1",
    ),
    Claim(
        "npair-pixels",
        "Das et al. 2019",
        "trained from pixels, the hottest pixel of the match map is better than the centre of the image",
        "npair",
        f"{BASELINE}image centre",
        "pointing_heatmap",
        kinds=("drawn",),
    ),
    *(
        Claim(
            f"npair-map-{kind}",
            "Das et al. 2019",
            "on a frozen feature map, the hottest pixel of the match map is better than the centre of the image",
            f"npair --map features {options}",
            f"{BASELINE}image centre",
            "pointing_heatmap",
            kinds=(kind,),
        )
        for kind, options in _MAP_OPTIONS
    ),
    *_ATTENTION,
    *_BETTER_THAN_SCAN,
    *_CONSTRAINED,
)
"""All claims, in the order of the page."""


def tried_notes() -> dict[str, str]:
    """The notes of `claims.json` on further experiments, by name of the claim.

    Raises:
        EvaluationError: a note whose claim does not exist.
    """
    return _notes("claims", {claim.name for claim in CLAIMS})


def paper_notes() -> dict[str, str]:
    """The paragraphs of `claims.json`: what of a paper is reproduced, what is not and why, by the name of the paper.

    Raises:
        EvaluationError: a paragraph on a paper without claims.
    """
    return _notes("papers", {claim.paper for claim in CLAIMS})


def _notes(part: str, known: set[str]) -> dict[str, str]:
    content: dict[str, Any] = json.loads(
        files("unboxed.experiments").joinpath("claims.json").read_text(encoding="utf-8")
    )
    notes: dict[str, str] = content[part]
    unknown = sorted(set(notes) - known)
    if unknown:
        raise EvaluationError(f"claims.json has a note on {unknown[0]!r}, which none of its {part} is; see CLAIMS.")
    return notes
