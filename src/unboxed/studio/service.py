"""The HTTP service of the studio: a page, and what the page asks for. `/openapi.json` describes it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import FastAPI, File, Form, HTTPException, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.types import ASGIApp

import unboxed
from unboxed.data.images import open_image
from unboxed.errors import CaptionError, ImageError, StudioError, UnboxedError
from unboxed.studio.browse import OUTCOMES, Browser, Filter
from unboxed.studio.downloads import FORMATS, download
from unboxed.studio.grounding_cache import GroundingCache, Seen, UnknownImageError
from unboxed.studio.image_store import SIZES, LibraryImage, encoded
from unboxed.studio.limits import BusyError, Gate, Limits, TooSlowError
from unboxed.studio.middleware import COOKIE, Guard, Token
from unboxed.studio.schemas import (
    BrowsePage,
    Facts,
    GroundAnswer,
    ImageList,
    ImageListed,
    LimitFacts,
    RunFacts,
    TokenGiven,
    ground_answer,
)
from unboxed.studio.search import SearchAnswer, SearchIndex, as_lines, search
from unboxed.visualization.draw import PALETTE, heat_colours, ink

__all__ = ["Studio", "create_app"]

T = TypeVar("T")

_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PICTURES_WAITING = 400  # a gallery asks for all of its pictures at once
_log = logging.getLogger("unboxed.studio")


@dataclass(frozen=True, eq=False)
class Studio:
    """What a service is made of.

    Attributes:
        desk: the run, and the images that it is asked about.
        run_name: what people call the run.
        limits: sizes, times, and how much at once.
        browser: a dataset to browse.
        index: images to search.
        token: what requests must show; None when only this machine can reach the service.
        names: host names that the service is asked by, beside `localhost` and plain addresses.
    """

    desk: GroundingCache
    run_name: str
    limits: Limits = field(default_factory=Limits)
    browser: Browser | None = None
    index: SearchIndex | None = None
    token: Token | None = None
    names: Collection[str] = ()


def create_app(studio: Studio) -> ASGIApp:
    """The service as an ASGI application, guarded; run it with any ASGI server."""
    page = {path.name: path.read_bytes() for path in _PAGE.iterdir() if path.suffix in _TYPES}
    service = _Service(studio)
    app = FastAPI(
        title="unboxed studio",
        summary="Boxes for the phrases of a caption.",
        version=unboxed.__version__,
        docs_url=None,  # these pages of FastAPI load scripts from the network
        redoc_url=None,
        lifespan=service.lifespan,
        responses={code: {"description": text, "model": _Problem} for code, text in _PROBLEMS.items()},
    )
    _handle_problems(app, studio.limits)
    service.add_routes(app)

    for name, content in page.items():
        path = "/" if name == "index.html" else f"/{name}"
        app.add_api_route(path, _file(content, _TYPES[Path(name).suffix]), methods=["GET"], include_in_schema=False)
    open_paths = {"/", "/api/session", *(f"/{name}" for name in page)}
    return Guard(app, names=studio.names, token=studio.token, open_paths=open_paths, limits=studio.limits)


class _Service:
    """The routes, and the two queues behind them: one for grounding, one for pictures."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._limits, self._desk = studio, studio.limits, studio.desk
        self._work = Gate(studio.limits.workers, studio.limits.waiting)
        self._pictures = Gate(studio.limits.workers, _PICTURES_WAITING)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        yield
        self._work.close()
        self._pictures.close()

    def add_routes(self, app: FastAPI) -> None:
        app.get("/api/facts", summary="What this studio has")(self.facts)
        app.post("/api/session", summary="Trade the token for a cookie", status_code=204)(self.session)
        app.get("/api/photos", summary="Images that can be picked")(self.photos)
        app.get("/api/photos/{photo_id}/picture", summary="An image as a JPEG", response_class=_Jpeg)(self.picture)
        app.post("/api/picture", summary="An uploaded image as a JPEG", response_class=_Jpeg)(self.convert)
        app.post("/api/ground", summary="Box the phrases of a caption")(self.ground)
        app.post("/api/export/{form}", summary="The same boxes as a file", response_class=Response)(self.export)
        app.get("/api/browse", summary="Captions of the dataset, grounded")(self.browse)
        app.get(
            "/api/search",
            summary="Images that fit a text, as lines of JSON",
            response_class=StreamingResponse,
            responses={200: {"model": SearchAnswer}},
        )(self.search)

    async def facts(self) -> Facts:
        studio, config = self._studio, self._desk.grounder.config
        training = config.facts.get("train", {})
        photos, captions = training.get("photos", 0), training.get("captions", 0)
        return Facts(
            version=unboxed.__version__,
            run=RunFacts(
                name=studio.run_name,
                recipe=config.recipe,
                trained_on=f"{photos:,} images, {captions:,} captions" if photos else "",
            ),
            limits=LimitFacts(bytes=self._limits.bytes, pixels=self._limits.pixels, caption=self._limits.caption),
            photos=len(self._desk.shelf.listed) or None,
            index=None if studio.index is None else len(studio.index),
            data=studio.browser.facts if studio.browser else None,
            formats={name: form.label for name, form in FORMATS.items()},
            palette=[(colour, ink(colour)) for colour in PALETTE],
            heat=[(r, g, b) for r, g, b in heat_colours(np.linspace(0, 1, 33)).round().astype(int).tolist()],
        )

    async def session(self, given: TokenGiven, request: Request, response: Response) -> None:
        token = self._studio.token
        if token is None:
            return
        if not token.is_it(given.token):
            await asyncio.sleep(0.5)
            raise HTTPException(401, "This is not the token.")
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(COOKIE, token.cookie, httponly=True, samesite="strict", secure=secure)

    async def photos(
        self,
        start: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=1, le=200)] = 60,
        name: Annotated[str, Query(max_length=200, description="Part of the name.")] = "",
    ) -> ImageList:
        found = [photo for photo in self._desk.shelf.listed if name.lower() in photo.name.lower()]
        listed = [ImageListed(id=photo.photo_id, name=photo.name) for photo in found[start : start + count]]
        return ImageList(photos=listed, total=len(found))

    async def picture(self, photo_id: str, size: Literal["thumbnail", "full"] = "full") -> Response:
        photo = self._on_shelf(photo_id)
        content = await self._pictures.run(lambda: self._desk.shelf.picture(photo, size), self._limits.seconds)
        return _Jpeg(content, headers={"Cache-Control": "private, max-age=3600"})

    async def convert(self, photo: Annotated[UploadFile, File(description="An image.")]) -> Response:
        content, name = await photo.read(), Path(photo.filename or "The image").name

        def work() -> bytes:
            return encoded(open_image(content, max_pixels=self._limits.pixels, name=name), SIZES["full"])

        return _Jpeg(await self._pictures.run(work, self._limits.seconds))

    async def ground(
        self,
        caption: Annotated[str, Form(description="Its noun phrases are boxed.")],
        photo: Annotated[UploadFile | None, File(description="An image; or leave it out and give its id.")] = None,
        photo_id: Annotated[str | None, Form(description="Of an earlier answer, or of a listed one.")] = None,
        top: Annotated[int, Form(ge=1, le=50, description="Boxes a phrase.")] = 10,
    ) -> GroundAnswer:
        def answer(seen: Seen, begun: float) -> GroundAnswer:
            grounding = self._desk.ground(seen, caption)
            return ground_answer(seen, grounding, top, time.perf_counter() - begun)

        return await self._looked(caption, photo, photo_id, answer)

    async def export(
        self,
        form: str,
        caption: Annotated[str, Form(description="Its noun phrases are boxed.")],
        photo: Annotated[UploadFile | None, File(description="An image; or leave it out and give its id.")] = None,
        photo_id: Annotated[str | None, Form(description="Of an earlier answer, or of a listed one.")] = None,
        top: Annotated[int, Form(ge=1, le=50, description="Boxes a phrase.")] = 1,
        least: Annotated[float | None, Form(description="Lowest score of a box.")] = None,
        absent: Annotated[bool, Form(description="Also boxes of phrases that seem absent.")] = False,
        name: Annotated[str | None, Form(max_length=200, description="What the image is called.")] = None,
    ) -> Response:
        if form not in FORMATS:
            raise HTTPException(404, f"There is no format {form!r}; there are {', '.join(FORMATS)}.")

        def answer(seen: Seen, _: float) -> str:
            return download(form, self._desk.ground(seen, caption), name or seen.name, top, least, absent)

        text = await self._looked(caption, photo, photo_id, answer)
        chosen = FORMATS[form]
        headers = {"Content-Disposition": f'attachment; filename="boxes.{chosen.suffix}"'}
        return Response(text, media_type=chosen.media_type, headers=headers)

    async def browse(
        self,
        start: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=1, le=48)] = 12,
        type: Annotated[str | None, Query(max_length=100)] = None,  # noqa: A002, the name of the parameter
        outcome: Literal[OUTCOMES] | None = None,  # type: ignore[valid-type]
    ) -> BrowsePage:
        browser = self._studio.browser
        if browser is None:
            raise HTTPException(404, "There is no dataset to browse; start the studio with --data DATASET.")
        return await self._work.run(
            lambda: browser.page(start, count, Filter(type, outcome), self._limits.page_seconds),
            self._limits.search_seconds,
        )

    async def search(
        self,
        text: Annotated[str, Query(max_length=10_000)],
        k: Annotated[int, Query(ge=1, le=200)] = 24,
    ) -> StreamingResponse:
        index = self._studio.index
        if index is None:
            raise HTTPException(404, "There is no index to search; start the studio with --index INDEX.")
        self._check(text)
        future = self._work.enter(lambda: search(index, self._desk.shelf, text, k))
        lines = as_lines(future, len(index), self._limits.search_seconds)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _looked(
        self, caption: str, photo: UploadFile | None, photo_id: str | None, answer: Callable[[Seen, float], T]
    ) -> T:
        """The answer to a caption about an image that was sent or has an id."""
        self._check(caption)
        content = await photo.read() if photo is not None else None
        name = Path(photo.filename or "The image").name if photo is not None else "The image"

        def work() -> T:
            begun = time.perf_counter()
            return answer(self._desk.look(content, photo_id, name), begun)

        return await self._work.run(work, self._limits.seconds)

    def _check(self, text: str) -> None:
        if len(text) > self._limits.caption:
            raise HTTPException(
                413, f"The text has {len(text):,} characters; at most {self._limits.caption:,} are read."
            )
        if not any(character.isalnum() for character in text):
            raise HTTPException(422, "The text has no words; give it at least one.")

    def _on_shelf(self, photo_id: str) -> LibraryImage:
        photo = self._desk.shelf.get(photo_id)
        if photo is None:
            raise UnknownImageError
        return photo


class _Jpeg(Response):
    media_type = "image/jpeg"


_PROBLEMS: dict[int | str, str] = {
    401: "The token is missing.",
    404: "No such image, or the studio has no such part.",
    413: "Too large.",
    422: "Not an image, a text without words, or a parameter out of range.",
    429: "Too much is waiting; Retry-After says when to come again.",
    503: "It took too long.",
}


class _Problem(BaseModel):
    """What went wrong, in words for people."""

    detail: str


def _handle_problems(app: FastAPI, limits: Limits) -> None:
    """Every error becomes `{"detail": …}` that says what was found and what to do, and nothing of this machine."""

    def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"detail": detail}, status, headers)

    async def busy(_: Request, error: Any) -> Response:
        wait = error.retry_after
        return problem(
            429, f"The studio has more to do than it can; try again in {wait} s.", {"Retry-After": str(wait)}
        )

    async def too_slow(_: Request, __: Exception) -> Response:
        return problem(503, f"This took longer than {limits.seconds:g} s; try again, or send a smaller image.")

    async def unknown(_: Request, __: Exception) -> Response:
        return problem(404, "The image is not at hand (any more); send it again.")

    async def refused(_: Request, error: Exception) -> Response:
        return problem(422, str(error))

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("%s failed", request.url.path, exc_info=error)
        return problem(500, "The studio could not answer this; its own log says why.")

    async def invalid(_: Request, error: Any) -> Response:
        said = "; ".join(f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
        return problem(422, said or "The request is not as /openapi.json describes it.")

    app.add_exception_handler(BusyError, busy)
    app.add_exception_handler(TooSlowError, too_slow)
    app.add_exception_handler(UnknownImageError, unknown)
    for kind in (ImageError, CaptionError, StudioError):
        app.add_exception_handler(kind, refused)
    app.add_exception_handler(UnboxedError, failed)
    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(RequestValidationError, invalid)


def _file(content: bytes, media_type: str) -> Callable[[], Any]:
    async def file() -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return file
