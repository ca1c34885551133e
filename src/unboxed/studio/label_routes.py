"""The routes of the view that corrects labels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Response

from unboxed.studio.corrector import Corrector, StaleChangeError
from unboxed.studio.grounding_cache import UnknownImageError
from unboxed.studio.schemas import LabelChange, LabelImage, LabelList

__all__ = ["add_label_routes"]

_FILES = {"coco": ("corrected.json", "application/json"), "csv": ("corrected.csv", "text/csv; charset=utf-8")}
_NO_LABELS = "There are no labels to correct; start the studio with --labels OUT, the output of `unboxed label`."


def add_label_routes(
    app: FastAPI, labels: Corrector | None, run: Callable[[Callable[[], Any]], Awaitable[Any]]
) -> None:
    """Add the routes to an application.

    Args:
        app: the application.
        labels: the labels to correct; None answers every request with status 404.
        run: runs a function in a work queue.
    """

    def corrector() -> Corrector:
        if labels is None:
            raise HTTPException(404, _NO_LABELS)
        return labels

    @app.get("/api/labels", summary="Labelled images")
    async def images(
        start: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=1, le=200)] = 60,
        which: Annotated[Literal["all", "open", "checked"], Query(description="Which images.")] = "all",
    ) -> LabelList:
        known = corrector()
        return await run(lambda: known.page(start, count, which))  # type: ignore[no-any-return]

    @app.get("/api/labels/{photo_id}", summary="An image with its boxes")
    async def image(photo_id: str) -> LabelImage:
        return _known(await run(lambda: corrector().image(photo_id)))

    @app.post("/api/labels/{photo_id}", summary="Correct a box of an image")
    async def correct(photo_id: str, change: LabelChange) -> LabelImage:
        known = corrector()
        try:
            return _known(await run(lambda: known.correct(photo_id, change)))
        except StaleChangeError as error:
            raise HTTPException(409, str(error)) from None

    @app.get("/api/corrected/{form}", summary="All corrected boxes as a file", response_class=Response)
    async def export(form: Literal["coco", "csv"]) -> Response:
        known = corrector()
        name, media_type = _FILES[form]
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(await run(lambda: known.export(form)), media_type=media_type, headers=headers)


def _known(image: LabelImage | None) -> LabelImage:
    if image is None:
        raise UnknownImageError
    return image
