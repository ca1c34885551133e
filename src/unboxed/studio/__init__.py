"""A web page to ground captions, search images and browse datasets, with its HTTP service.

`open_studio` makes the service as an ASGI application, which any ASGI server can run:

    app = open_studio(Path("run"), StudioSources(images=Path("photos")), limits=Limits(megabytes=5))
    uvicorn.run(app, port=8321)

`unboxed studio` does the same, with a token where other machines can reach the address.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
