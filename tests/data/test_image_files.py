"""The lines about images that were skipped."""

from __future__ import annotations

from unboxed.data.image_files import skipped_lines


def test_images_that_are_skipped_for_one_reason_share_a_line() -> None:
    skipped = {f"{number}": "No file of that name is stored." for number in range(753)}
    skipped["b/x.png"] = "/my data/b/x.png (90 bytes) is not an image."
    skipped["1,5"] = "Permission denied"
    skipped["c.jpg"] = "/my data/sub/c.jpg (12 bytes) is not an image."
    skipped["d"] = "d.jpg is not an image."
    assert skipped_lines(skipped) == [
        "Skipped 753 images: No file of that name is stored. (0, 1, 2, 3, 4 and 748 more)",
        "Skipped 3 images: the image is not an image. (b/x.png, c.jpg, d)",
        "Skipped 1,5: Permission denied",
    ]


def test_a_name_within_another_word_is_no_name() -> None:
    skipped = {"an": "It cannot be an image.", "a": "It cannot be an image."}
    assert len(skipped_lines(skipped)) == 2  # each reason has its own word in place of "the image"
    assert skipped_lines({"x": "/a/xy.png is damaged", "y": "/a/xy.png is damaged"}) == [
        "Skipped 2 images: /a/xy.png is damaged (x, y)"
    ]
    assert skipped_lines({}) == []


def test_a_reason_of_many_folders_and_a_name_with_a_line_break() -> None:
    assert skipped_lines({"b": f"{'/d/' * 50_000}b is gone", "c": "/d/c is gone"}) == [
        "Skipped 2 images: the image is gone (b, c)"
    ]
    assert skipped_lines({"a\nerror: b.jpg": "It is damaged."}) == ["Skipped a\\nerror: b.jpg: It is damaged."]
