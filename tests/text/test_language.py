"""Captions that are not in English are recognized, and English ones of all kinds are not taken for others."""

from __future__ import annotations

import pytest

from unboxed.text.language import foreign_language


@pytest.mark.parametrize(
    "caption",
    [
        "A dog runs on the grass.",
        "red shoes, size 9",
        "1girl, solo, long hair, smile",
        "IMG_1234",
        "A café au lait on the table",
        "",
    ],
)
def test_english(caption: str) -> None:
    assert foreign_language([caption] * 3) == ""


@pytest.mark.parametrize(
    "caption",
    [
        "Ein Hund läuft neben einem Mann",
        "Un chien court dans l'herbe",
        "Un perro corre por el césped",
        "Un cane corre sul prato con la palla",
        "Um cachorro corre na grama",
        "Een hond rent over het gras",
        "En hund springer på gräset",
        "Pies biegnie po trawie obok mężczyzny",
        "Bir köpek çimenlerin üzerinde koşuyor",
        "Con chó chạy trên cỏ",
        "Собака бежит по траве",
        "犬が芝生の上を走る",
        "一只狗在草地上跑",
        "كلب يركض على العشب",
    ],
)
def test_other_languages(caption: str) -> None:
    assert "do not look like English" in foreign_language([caption] * 3)
