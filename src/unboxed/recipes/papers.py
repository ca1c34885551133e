"""What to cite: BibTeX of this project and of the papers that a run builds on."""

from __future__ import annotations

from unboxed import __version__
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.matching import MatchingConfig

__all__ = ["PAPERS", "bibtex"]

_SGRAF = (
    "diao2021sgraf", "Diao, Haiwen and Zhang, Ying and Ma, Lin and Lu, Huchuan",
    "Similarity Reasoning and Filtration for Image-Text Matching",
    "Proceedings of the AAAI Conference on Artificial Intelligence", 2021,
)  # fmt: skip

PAPERS: dict[str, tuple[str, str, str, str, int]] = {
    "infoground": (
        "gupta2020infoground",
        "Gupta, Tanmay and Vahdat, Arash and Chechik, Gal and Yang, Xiaodong and Kautz, Jan and Hoiem, Derek",
        "Contrastive Learning for Weakly Supervised Phrase Grounding",
        "European Conference on Computer Vision (ECCV)", 2020,
    ),
    "ckd": (
        "wang2021ckd",
        "Wang, Liwei and Huang, Jing and Li, Yin and Xu, Kun and Yang, Zhengyuan and Yu, Dong",
        "Improving Weakly Supervised Visual Grounding by Contrastive Knowledge Distillation",
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)", 2021,
    ),
    "sprm": (
        "rigoni2023sprm",
        "Rigoni, Davide and Parolari, Luca and Serafini, Luciano and Sperduti, Alessandro and Ballan, Lamberto",
        "Weakly-Supervised Visual-Textual Grounding with Semantic Prior Refinement",
        "British Machine Vision Conference (BMVC)", 2023,
    ),
    "scan": (
        "lee2018scan", "Lee, Kuang-Huei and Chen, Xi and Hua, Gang and Hu, Houdong and He, Xiaodong",
        "Stacked Cross Attention for Image-Text Matching", "European Conference on Computer Vision (ECCV)", 2018,
    ),
    "bfan": (
        "liu2019bfan",
        "Liu, Chunxiao and Mao, Zhendong and Liu, An-An and Zhang, Tianzhu and Wang, Bin and Zhang, Yongdong",
        "Focus Your Attention: A Bidirectional Focal Attention Network for Image-Text Matching",
        "ACM International Conference on Multimedia", 2019,
    ),
    "pfan": (
        "wang2019pfan",
        "Wang, Yaxiong and Yang, Hao and Qian, Xueming and Ma, Lin and Lu, Jing and Li, Biao and Fan, Xin",
        "Position Focused Attention Network for Image-Text Matching",
        "International Joint Conference on Artificial Intelligence (IJCAI)", 2019,
    ),
    "sgr": _SGRAF,
    "saf": _SGRAF,
    "vse": (
        "faghri2018vsepp", "Faghri, Fartash and Fleet, David J. and Kiros, Jamie Ryan and Fidler, Sanja",
        "{VSE++}: Improving Visual-Semantic Embeddings with Hard Negatives", "British Machine Vision Conference (BMVC)",
        2018,
    ),
    "npair": (
        "das2019semi", "Das, Deepan and Ghouse, Noor Mohammed and Verma, Shashank and Li, Yin",
        "Semi Supervised Phrase Localization in a Bidirectional Caption-Image Retrieval Framework",
        "arXiv:1908.02950", 2019,
    ),
}  # fmt: skip
"""Recipe -> key, authors, title, venue and year of its paper. A plugin's recipe may have a class variable `bibtex`."""

_CONSTRAINTS = (
    "chen2023more",
    "Chen, Yuxiao and Yuan, Jianbo and Zhao, Long and Chen, Tianlang and Luo, Rui and Davis, Larry and "
    "Metaxas, Dimitris N.",
    "More Than Just Attention: Improving Cross-Modal Attentions with Contrastive Constraints for Image-Text Matching",
    "IEEE/CVF Winter Conference on Applications of Computer Vision (WACV)", 2023,
)  # fmt: skip


def bibtex(name: str, recipe: RecipeConfig) -> str:
    """The entries of this project, of the paper of a recipe, and of the constraints on attention if it has any.

    Args:
        name: of the recipe.
        recipe: its options.
    """
    entries = [
        "@software{unboxed,\n  author = {{The unboxed maintainers}},\n  title = {unboxed: phrase grounding and "
        f"image-text matching, learned from captions alone}},\n  version = {{{__version__}}}\n}}"
    ]
    if name in PAPERS:
        entries.append(_entry(*PAPERS[name]))
    elif bibtex := getattr(recipe, "bibtex", ""):
        entries.append(str(bibtex).strip())
    if isinstance(recipe, MatchingConfig) and recipe.constraint.constraints != "none":
        entries.append(_entry(*_CONSTRAINTS))
    return "\n\n".join(entries) + "\n"


def _entry(key: str, authors: str, title: str, venue: str, year: int) -> str:
    kind, field = ("misc", "howpublished") if venue.startswith("arXiv") else ("inproceedings", "booktitle")
    lines = [f"author = {{{authors}}}", f"title = {{{title}}}", f"{field} = {{{venue}}}", f"year = {{{year}}}"]
    return f"@{kind}{{{key},\n  " + ",\n  ".join(lines) + "\n}"
