"""Clients that were written for Cloudimage, as npm has them, in a real browser: Pellucid is `*.cloudimg.io` to it.

What each client writes is spelled out here to the letter. The versions are pinned, and a server that answers these URLs
answers the sites that use these clients.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from client_pages import ClientPage, Shown, Site, TlsFront, make_certificate, tls_front
from demo_page import CHROMIUM, needs_chromium
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, as_jpeg, running_server, sample_photo
from npm_packages import CLIENTS, NEEDED_BY_CLIENTS, load_packages
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright

pytestmark = needs_chromium

HOST, OWN_HOST = "demo.cloudimg.io", "images.shop.test"
"""Both are the customer's `demo`; the second as clients have it with a domain of one's own."""

CELLS = (("d02020", "20a020", "2020d0"), ("d0d020", "808080", "20d0d0"), ("d020d0", "ffffff", "202020"))
"""The colours of the picture `grid.jpg`, by row: three by three fields of 600 x 400."""

MIDDLE = CELLS[1][1]

VARIANTS = {
    "low-preview": "js-cloudimage-responsive",
    "plain": "js-cloudimage-responsive/dist/plain/index.js",
    "blur-hash": "js-cloudimage-responsive/dist/blur-hash/index.js",
}

IMPORTS = {
    "unpic": "/npm/unpic/esm/mod.js",
    "ufo": "/npm/ufo/dist/index.mjs",
    "defu": "/npm/defu/dist/defu.mjs",
    # @nuxt/image calls it on a server only.
    "h3": "data:text/javascript,export const appendHeader = () => { throw new Error(); };",
    "@babel/runtime/helpers/": "/npm/@babel/runtime/helpers/esm/",
}
"""Where modules find what they import by name."""


@dataclass(frozen=True)
class World:
    """A server, a browser that takes it for Cloudimage, a site, and an origin called `photos`."""

    server: PellucidServer
    front: TlsFront
    browser: Browser
    site: Site
    photos: str
    """Where the pictures are: scheme, host, port, folder."""

    @property
    def host_of_photos(self) -> str:
        return self.photos.removeprefix("http://")


OpenClient = Callable[..., ClientPage]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, origin: PhotoOrigin) -> Iterator[World]:
    packages = load_packages((*CLIENTS, *NEEDED_BY_CLIENTS))
    certificate, key = make_certificate(tmp_path_factory.mktemp("tls"))
    photos = f"http://photos.localhost:{origin.host.rpartition(':')[2]}/clients"
    grid = grid_jpeg((1800, 1200))
    for name in ("grid.jpg", "grid.jpg?size=big&v=2", "Sch%C3%BCssel.jpg", "Sch%C3%BCssel%20%26%20Co.jpg"):
        origin.put(f"/clients/{name}", grid)
    origin.put("/clients/small.jpg", grid_jpeg((300, 200)))
    origin.put("/clients/dog.jpg", as_jpeg(sample_photo("dog.jpg", (600, 400))))
    with (
        running_server(
            tmp_path_factory.mktemp("data"),
            PELLUCID_TOKENS=json.dumps({"demo": {"hosts": [HOST, OWN_HOST]}}),
            PELLUCID_ALIASES=f"_photos_={photos}/",
            PELLUCID_WORKERS="1",
        ) as server,
        tls_front(server.address, certificate, key) as front,
        closing(Site(packages)) as site,
        sync_playwright() as playwright,
    ):
        there = f"127.0.0.1:{front.port}"
        arguments = (
            "--no-sandbox",
            "--ignore-certificate-errors",
            f"--host-resolver-rules=MAP *.cloudimg.io {there}, MAP {OWN_HOST} {there}",
        )
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield World(server, front, browser, site, photos)
        browser.close()


@pytest.fixture
def open_client(world: World) -> Iterator[OpenClient]:
    """Open pages with an empty cache, closed at the end of the test."""
    contexts: list[BrowserContext] = []

    def open_client(
        body: str, *, dpr: float = 1, width: int = 1280, imports: dict[str, str] | None = None
    ) -> ClientPage:
        context = world.browser.new_context(viewport={"width": width, "height": 800}, device_scale_factor=dpr)
        context.set_default_timeout(DEADLINE_S * 1000)
        contexts.append(context)
        client = ClientPage(context.new_page(), world.front, world.site)
        client.open(body.replace("PHOTOS", world.photos), imports)
        return client

    yield open_client
    for context in contexts:
        context.close()


def grid_jpeg(size: tuple[int, int]) -> bytes:
    rows = np.array([[list(bytes.fromhex(cell)) for cell in row] for row in CELLS], np.uint8)
    out = io.BytesIO()
    Image.fromarray(rows).resize(size, Image.Resampling.NEAREST).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def colour_at(shown: Shown, x: float, y: float) -> tuple[int, ...]:
    """RGBA of the pixel at these parts of width and height."""
    rgba = np.asarray(shown.image)
    height, width, _ = rgba.shape
    return tuple(int(each) for each in rgba[min(int(y * height), height - 1), min(int(x * width), width - 1)])


def is_near(colour: tuple[int, ...], wanted: str) -> bool:
    """Whether an opaque pixel has this colour, but for what JPEG loses, which is a lot where pictures are tiny."""
    red, green, blue, alpha = colour
    return alpha == 255 and all(
        abs(one - other) <= 40 for one, other in zip((red, green, blue), bytes.fromhex(wanted), strict=True)
    )


def plugin(config: dict[str, Any] | None = None, variant: str = "low-preview") -> str:
    """The plugin without a framework, started as its README says, at the end of the body."""
    options = json.dumps({"token": "demo", **(config or {})})
    return (
        f'<script src="/bundle/{VARIANTS[variant]}"></script>'
        f'<script>require("{VARIANTS[variant]}"); window.responsive = new CIResponsive({options});</script>'
    )


Picture = tuple[str, tuple[int, int], float]
"""What is asked for behind the address of Cloudimage, the pixels that come, and how many of them make a CSS pixel."""


def check(shown: list[Shown], pictures: Sequence[Picture], prefix: str) -> None:
    """That these pictures are shown, each once, and no others; the middle of each is that of the original."""
    wanted = {f"{prefix}{path}": (pixels, density) for path, pixels, density in pictures}
    assert sorted(each.url for each in shown) == sorted(wanted)
    for each in shown:
        pixels, density = wanted[each.url]
        assert each.pixels == pixels, each.url
        if each.natural is not None:
            assert each.natural == tuple(int(side / density) for side in pixels), each.url
        assert is_near(colour_at(each, 0.5, 0.5), MIDDLE), each.url
        assert "unsupported" not in each.headers.get("pellucid-ignored", ""), each.url


@dataclass(frozen=True)
class Case:
    """A piece of a page, and what is asked for on screens of 1 and of 2 pixels per CSS pixel. PHOTOS is where pictures
    are.
    """

    body: str
    at_1: list[Picture]
    at_2: list[Picture]
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    prefix: str = f"https://{HOST}/v7/PHOTOS/"

    def at(self, dpr: int) -> list[Picture]:
        return {1: self.at_1, 2: self.at_2}[dpr]


PLUGIN_CASES = {
    "as-wide-as-its-container": Case(
        '<div style="width: 380px"><img ci-src="PHOTOS/grid.jpg"></div>',
        [("grid.jpg?w=400&org_if_sml=1", (400, 267), 1)],
        [("grid.jpg?w=800&org_if_sml=1", (800, 533), 2)],
    ),
    "with-a-preview": Case(
        '<div style="width: 620px"><img ci-src="PHOTOS/grid.jpg"></div>',
        [("grid.jpg?w=62&org_if_sml=1", (62, 41), 1), ("grid.jpg?w=700&org_if_sml=1", (700, 467), 1)],
        [("grid.jpg?w=62&org_if_sml=1", (62, 41), 1), ("grid.jpg?w=1300&org_if_sml=1", (1300, 867), 2)],
    ),
    "smaller-than-its-container": Case(
        '<div style="width: 390px"><img ci-src="PHOTOS/small.jpg"></div>',
        [("small.jpg?w=400&org_if_sml=1", (300, 200), 1)],
        [("small.jpg?w=800&org_if_sml=1", (300, 200), 2)],
    ),
    "in-a-tiny-container": Case(
        '<div style="width: 20px"><img ci-src="PHOTOS/grid.jpg"></div>',
        [("grid.jpg?w=25&org_if_sml=1", (25, 17), 1)],
        [("grid.jpg?w=50&org_if_sml=1", (50, 33), 2)],
    ),
    "width-in-ci-params": Case(
        '<img ci-src="PHOTOS/grid.jpg" ci-params="w=375">',
        [("grid.jpg?w=375&org_if_sml=1", (375, 250), 1)],
        [("grid.jpg?w=750&org_if_sml=1", (750, 500), 2)],
    ),
    "width-and-height-in-ci-params": Case(
        '<img ci-src="PHOTOS/grid.jpg" ci-params="{ &quot;width&quot;: 300, &quot;height&quot;: 300 }">',
        [("grid.jpg?w=300&h=300&org_if_sml=1", (300, 300), 1)],
        [("grid.jpg?w=600&h=600&org_if_sml=1", (600, 600), 2)],
    ),
    "attributes-of-the-element": Case(
        '<img width="320" height="100" ci-src="PHOTOS/grid.jpg">',
        [("grid.jpg?w=320&h=100&org_if_sml=1", (320, 100), 1)],
        [("grid.jpg?w=640&h=200&org_if_sml=1", (640, 200), 2)],
    ),
    "func-bound": Case(
        '<div style="width: 380px; height: 120px"><img ci-src="PHOTOS/grid.jpg" ci-params="func=bound"></div>',
        [("grid.jpg?w=380&h=120&org_if_sml=1&func=bound", (180, 120), 1)],
        [("grid.jpg?w=760&h=240&org_if_sml=1&func=bound", (360, 240), 2)],
    ),
    "func-crop": Case(
        '<div style="width: 380px; height: 120px"><img ci-src="PHOTOS/grid.jpg" ci-params="func=crop"></div>',
        [("grid.jpg?w=380&h=120&org_if_sml=1&func=crop", (380, 120), 1)],
        [("grid.jpg?w=760&h=240&org_if_sml=1&func=crop", (760, 240), 2)],
    ),
    "ci-ratio": Case(
        '<div style="width: 280px"><img ci-src="PHOTOS/grid.jpg" ci-ratio="2"></div>',
        [("grid.jpg?w=300&h=150&org_if_sml=1", (300, 150), 1)],
        [("grid.jpg?w=600&h=300&org_if_sml=1", (600, 300), 2)],
    ),
    "ci-sizes": Case(
        '<img ci-src="PHOTOS/grid.jpg" ci-sizes="{ sm: { w: 200, h: 300 }, lg: { w: 380, h: 190 }, '
        "'(min-width: 4000px)': { w: 600 } }\">",
        [("grid.jpg?w=380&h=190&org_if_sml=1", (380, 190), 1)],
        [("grid.jpg?w=760&h=380&org_if_sml=1", (760, 380), 2)],
    ),
    # Its height is not rounded.
    "ratio-in-ci-sizes": Case(
        '<div style="width: 380px"><img ci-src="PHOTOS/grid.jpg" ci-sizes="{ sm: { r: 1.5 } }"></div>',
        [("grid.jpg?w=380&h=253.33333333333334&org_if_sml=1", (380, 253), 1)],
        [("grid.jpg?w=760&h=506.6666666666667&org_if_sml=1", (760, 507), 2)],
    ),
    "letters-beyond-ascii": Case(
        '<div style="width: 180px"><img ci-src="PHOTOS/Schüssel.jpg"></div>',
        [("Sch%C3%BCssel.jpg?w=200&org_if_sml=1", (200, 133), 1)],
        [("Sch%C3%BCssel.jpg?w=400&org_if_sml=1", (400, 267), 2)],
    ),
    # What stands behind the picture's `?` becomes parameters.
    "own-query": Case(
        '<img ci-src="PHOTOS/grid.jpg?w=222&amp;v=2">',
        [("grid.jpg?w=222&org_if_sml=1&v=2", (222, 148), 1)],
        [("grid.jpg?w=444&org_if_sml=1&v=2", (444, 296), 2)],
    ),
    "format-and-quality": Case(
        '<img ci-src="PHOTOS/grid.jpg" ci-params="w=300&amp;force_format=webp&amp;q=60">',
        [("grid.jpg?w=300&org_if_sml=1&force_format=webp&q=60", (300, 200), 1)],
        [("grid.jpg?w=600&org_if_sml=1&force_format=webp&q=60", (600, 400), 2)],
    ),
    "background": Case(
        '<div style="width: 380px; height: 200px" ci-bg-url="PHOTOS/grid.jpg"></div>',
        [("grid.jpg?w=400&h=200&org_if_sml=1", (400, 200), 1)],
        [("grid.jpg?w=800&h=400&org_if_sml=1", (800, 400), 2)],
    ),
    "background-with-a-preview": Case(
        '<div style="width: 620px; height: 200px" ci-bg-url="PHOTOS/grid.jpg"></div>',
        [("grid.jpg?w=62&h=20&org_if_sml=1", (62, 20), 1), ("grid.jpg?w=700&h=200&org_if_sml=1", (700, 200), 1)],
        [("grid.jpg?w=62&h=20&org_if_sml=1", (62, 20), 1), ("grid.jpg?w=1300&h=400&org_if_sml=1", (1300, 400), 2)],
    ),
}
"""All on one page."""

CONFIGURED_PLUGIN_CASES = {
    "enlarged": Case(
        '<div style="width: 390px"><img ci-src="PHOTOS/small.jpg"></div>',
        [("small.jpg?w=400&q=70", (400, 267), 1)],
        [("small.jpg?w=800&q=70", (800, 533), 2)],
        {"params": "q=70"},
    ),
    "exactly-as-wide": Case(
        '<div style="width: 333px"><img ci-src="PHOTOS/grid.jpg"></div>',
        [("grid.jpg?w=333&org_if_sml=1", (333, 222), 1)],
        [("grid.jpg?w=666&org_if_sml=1", (666, 444), 2)],
        {"exactSize": True},
    ),
    "parts-of-pixels": Case(
        '<img ci-src="PHOTOS/grid.jpg" ci-params="w=375&amp;h=251">',
        [("grid.jpg?w=375&h=251&org_if_sml=1", (375, 251), 1)],
        [("grid.jpg?w=562.5&h=376.5&org_if_sml=1", (563, 377), 1.5)],
        {"devicePixelRatioList": [1.5]},
    ),
    # A height alone and no heights: nothing is left but the ampersand. Each candidate is the same, so it stands for 3x.
    "no-size-at-all": Case(
        '<div style="width: 380px"><img ci-src="PHOTOS/grid.jpg" ci-sizes="{ sm: { h: 300 } }"></div>',
        [("grid.jpg?&org_if_sml=1", (1800, 1200), 1)],
        [("grid.jpg?&org_if_sml=1", (1800, 1200), 3)],
        {"processOnlyWidth": True},
    ),
    "relative-and-without-v7": Case(
        '<div style="width: 45px"><img ci-src="other/../grid.jpg"></div>',
        [("grid.jpg?w=50&org_if_sml=1", (50, 33), 1)],
        [("grid.jpg?w=100&org_if_sml=1", (100, 67), 2)],
        {"baseURL": "PHOTOS/", "apiVersion": None},
        prefix=f"https://{HOST}/PHOTOS/",
    ),
    "urls-that-are-cloudimages-already": Case(
        f'<div style="width: 380px"><img ci-src="https://{HOST}/_photos_/grid.jpg"></div>',
        [("grid.jpg?w=400&org_if_sml=1", (400, 267), 1)],
        [("grid.jpg?w=800&org_if_sml=1", (800, 533), 2)],
        {"doNotReplaceURL": True},
        prefix=f"https://{HOST}/_photos_/",
    ),
    "domain-of-ones-own": Case(
        '<div style="width: 380px"><img ci-src="PHOTOS/grid.jpg"></div>',
        [("grid.jpg?w=400&org_if_sml=1", (400, 267), 1)],
        [("grid.jpg?w=800&org_if_sml=1", (800, 533), 2)],
        {"domain": OWN_HOST, "customDomain": True},
        prefix=f"https://{OWN_HOST}/v7/PHOTOS/",
    ),
}
"""Each on a page of its own."""


@pytest.mark.parametrize("dpr", [1, 2])
def test_the_plugin_without_a_framework_shows_pictures_of_the_right_size(
    world: World, open_client: OpenClient, dpr: int
) -> None:
    client = open_client("".join(case.body for case in PLUGIN_CASES.values()) + plugin(), dpr=dpr)
    pictures = [each for case in PLUGIN_CASES.values() for each in case.at(dpr)]
    check(client.wait(), pictures, f"https://{HOST}/v7/{world.photos}/")


@pytest.mark.parametrize("dpr", [1, 2])
@pytest.mark.parametrize("name", CONFIGURED_PLUGIN_CASES)
def test_the_plugin_configured_otherwise(world: World, open_client: OpenClient, name: str, dpr: int) -> None:
    case = CONFIGURED_PLUGIN_CASES[name]
    client = open_client(case.body + plugin(case.config), dpr=dpr)
    check(client.wait(), case.at(dpr), case.prefix.replace("PHOTOS", world.photos))


@pytest.mark.parametrize("dpr", [1, 2])
@pytest.mark.parametrize("variant", ["plain", "blur-hash"])
def test_the_plugins_other_variants_show_the_same_pictures(
    world: World, open_client: OpenClient, variant: str, dpr: int
) -> None:
    names = ("with-a-preview", "func-bound", "ci-ratio", "own-query", "background")
    cases = [PLUGIN_CASES[name] for name in names]
    # A blur hash, which stands in for a preview, is unpacked on the page.
    bodies = [case.body.replace("<img", '<img ci-blur-hash="LEHV6nWB2yk8pyo0adR*.7kCMdnj"') for case in cases]
    client = open_client("".join(bodies) + plugin(variant=variant), dpr=dpr)
    # Neither has previews.
    pictures = [each for case in cases for each in case.at(dpr) if "w=62&" not in each[0]]
    check(client.wait(), pictures, f"https://{HOST}/v7/{world.photos}/")


def test_the_plugin_asks_anew_when_the_window_grows_past_a_breakpoint(world: World, open_client: OpenClient) -> None:
    sizes = "{ xs: { w: 200, h: 300 }, md: { w: 300, h: 200 }, xl: { w: '30vw' } }"
    first = f'<img ci-src="PHOTOS/grid.jpg" ci-sizes="{sizes}">'
    second = '<div style="width: 30%"><img ci-src="PHOTOS/small.jpg"></div>'
    client = open_client(first + second + plugin(), width=500)
    prefix = f"https://{HOST}/v7/{world.photos}/"
    assert [(each.url, each.natural) for each in client.wait()] == [
        (f"{prefix}grid.jpg?w=200&h=300&org_if_sml=1", (200, 300)),
        (f"{prefix}small.jpg?w=200&org_if_sml=1", (200, 133)),
    ]
    for width, paths, sizes in (
        (800, ("grid.jpg?w=300&h=200&org_if_sml=1", "small.jpg?w=300&org_if_sml=1"), [(300, 200), (300, 200)]),
        (1300, ("grid.jpg?w=390&org_if_sml=1", "small.jpg?w=400&org_if_sml=1"), [(390, 260), (300, 200)]),
    ):
        client.page.set_viewport_size({"width": width, "height": 800})
        urls = [prefix + path for path in paths]
        # It waits for the window to come to rest.
        client.page.wait_for_function(
            "urls => urls.every((url, at) => document.images[at].currentSrc === url)", arg=urls
        )
        assert [(each.url, each.natural) for each in client.wait()] == list(zip(urls, sizes, strict=True))


def test_a_removed_background_through_the_plugin(world: World, open_client: OpenClient) -> None:
    body = '<img ci-src="PHOTOS/dog.jpg" ci-params="w=300&amp;bg_remove=1&amp;bg_colour=456">' + plugin()
    path = f"/v7/{world.photos}/dog.jpg?w=300&org_if_sml=1&bg_remove=1&bg_colour=456"
    (first,) = open_client(body).wait()
    assert (first.url, first.natural) == (f"https://{HOST}{path}", (300, 200))
    world.server.wait_for(path, "ready", Host=HOST)
    (later,) = open_client(body).wait()
    assert (later.url, later.natural) == (first.url, first.natural)
    assert is_near(colour_at(later, 0.01, 0.01), "445566")


REACT = """
const React = require("react");
const { createRoot } = require("react-dom/client");
const { default: Img, BackgroundImg, CloudimageProvider } = require("react-cloudimage-responsive");
const box = (style, child) => React.createElement("div", { style }, child);
const src = "PHOTOS/grid.jpg";
createRoot(document.getElementById("root")).render(React.createElement(
    CloudimageProvider, { config: { token: "demo" } },
    box({ width: 380 }, React.createElement(Img, { src })),
    box({ width: 620 }, React.createElement(Img, { src, ratio: 2, params: { q: 70 } })),
    box({ width: 240, height: 150 }, React.createElement(BackgroundImg, { src, params: "func=crop" })),
    React.createElement(Img, { src, width: "210", height: "200", params: "func=bound" }),
    React.createElement(Img, { src, sizes: { sm: { w: 100 }, lg: { w: 120, h: 120 } } }),
));
"""


@pytest.mark.parametrize("dpr", [1, 2])
def test_the_plugin_for_react(world: World, open_client: OpenClient, dpr: int) -> None:
    bundle = '<script src="/bundle/react+react-dom/client+react-cloudimage-responsive"></script>'
    client = open_client(f'<div id="root"></div>{bundle}<script>{REACT}</script>', dpr=dpr)
    shown = client.wait(images=6)
    prefix = f"https://{HOST}/v7/{world.photos}/grid.jpg?"
    by_query = {each.url.removeprefix(prefix): (each.pixels, each.natural) for each in shown}
    large = {
        1: {
            "w=400&org_if_sml=1": ((400, 267), (400, 267)),
            "w=700&h=350&org_if_sml=1&q=70": ((700, 350), (700, 350)),
            "w=240&h=150&org_if_sml=1&func=crop": ((240, 150), None),
            "w=210&h=200&org_if_sml=1&func=bound": ((210, 140), (210, 140)),
            "w=120&h=120&org_if_sml=1": ((120, 120), (120, 120)),
        },
        2: {
            "w=800&org_if_sml=1": ((800, 533), (400, 266)),
            "w=1300&h=650&org_if_sml=1&q=70": ((1300, 650), (650, 325)),
            "w=480&h=300&org_if_sml=1&func=crop": ((480, 300), None),
            "w=420&h=400&org_if_sml=1&func=bound": ((420, 280), (210, 140)),
            "w=240&h=240&org_if_sml=1": ((240, 240), (120, 120)),
        },
    }
    previews = {
        "w=38&org_if_sml=1": ((38, 25), (38, 25)),
        "w=62&org_if_sml=1&q=70": ((62, 41), (62, 41)),
    }
    assert by_query == large[dpr] | previews


UNPIC = """async ([src, operations]) => {
    const { transformUrl } = await import("unpic");
    const options = { cloudimage: { token: "demo" } };
    return transformUrl({ url: src, provider: "cloudimage" }, { cloudimage: operations }, options);
}"""

UNPIC_CASES: tuple[tuple[str, dict[str, Any], str, tuple[int, int]], ...] = (
    ("PHOTOS/grid.jpg", {"width": 400}, "HOST/grid.jpg?w=400&org_if_sml=1", (400, 267)),
    ("PHOTOS/small.jpg", {"width": 900}, "HOST/small.jpg?w=900&org_if_sml=1", (300, 200)),
    (
        "PHOTOS/grid.jpg",
        {"width": 300.4, "height": 300, "format": "webp", "quality": 60, "func": "bound"},
        "HOST/grid.jpg?func=bound&force_format=webp&w=300&h=300&q=60&org_if_sml=1",
        (300, 200),
    ),
    (
        "PHOTOS/grid.jpg?size=big&v=2",
        {"width": 400, "height": 100},
        "ENCODED%2Fgrid.jpg%3Fsize%3Dbig%26v%3D2?ci_url_encoded=1&w=400&h=100&org_if_sml=1",
        (400, 100),
    ),
    (
        "PHOTOS/Schüssel %26 Co.jpg",
        {"width": 200},
        "HOST/Sch%C3%BCssel%20%26%20Co.jpg?w=200&org_if_sml=1",
        (200, 133),
    ),
    # URLs that are Cloudimage's already, whoever wrote them: the plugin, unpic itself.
    (
        "https://demo.cloudimg.io/v7/PHOTOS/grid.jpg?w=400&org_if_sml=1",
        {"width": 200},
        "v7/PHOTOS/grid.jpg?org_if_sml=1&w=200",
        (200, 133),
    ),
    (
        "https://demo.cloudimg.io/ENCODED%2Fgrid.jpg%3Fsize%3Dbig%26v%3D2?ci_url_encoded=1&w=400&h=100&org_if_sml=1",
        {"width": 200},
        "ENCODED%2Fgrid.jpg%3Fsize%3Dbig%26v%3D2?org_if_sml=1&ci_url_encoded=1&w=200&h=100",
        (200, 100),
    ),
)
"""What is given to it, what it writes, the size of what comes."""


def fill(text: str, world: World) -> str:
    """`text` with the address of the pictures: as it is, without its scheme, and that percent-encoded."""
    encoded = world.host_of_photos.replace(":", "%3A").replace("/", "%2F")
    return text.replace("PHOTOS", world.photos).replace("HOST", world.host_of_photos).replace("ENCODED", encoded)


def test_unpic_writes_urls_that_show_pictures_of_the_right_size(world: World, open_client: OpenClient) -> None:
    client = open_client("", imports=IMPORTS)
    for src, operations, _, _ in UNPIC_CASES:
        client.show(src=client.run(UNPIC, [fill(src, world), operations]))
    pictures = [(fill(path, world), size, 1) for _, _, path, size in UNPIC_CASES]
    check(client.wait(len(pictures)), pictures, f"https://{HOST}/")


@pytest.mark.parametrize(("dpr", "width", "height"), [(1, 400, 300), (1.5, 640, 480), (2, 800, 600)])
def test_a_srcset_of_unpic_s_components(
    world: World, open_client: OpenClient, dpr: float, width: int, height: int
) -> None:
    client = open_client("", imports=IMPORTS, dpr=dpr)
    # Their low-quality placeholder is a background.
    props = client.run(
        """async src => (await import("/npm/@unpic/core/dist/auto.mjs")).transformProps({
            src, width: 400, height: 300, layout: "constrained", priority: true, background: "auto", unstyled: true,
            cdn: "cloudimage", options: { cloudimage: { token: "demo" } } })""",
        f"{world.photos}/grid.jpg",
    )
    assert len(props["srcset"].split(",")) == 4
    client.show(src=props["src"], srcset=props["srcset"], sizes=props["sizes"])
    path = f"{world.host_of_photos}/grid.jpg?w={width}&h={height}&org_if_sml=1"
    check(client.wait(1), [(path, (width, height), width / 400)], f"https://{HOST}/")


NUXT = """async ([src, options, defaults]) => {
    const { createImage } = await import("/npm/@nuxt/image/dist/runtime/image.js");
    const { default: setup } = await import("/npm/@nuxt/image/dist/runtime/providers/cloudimage.js");
    const image = createImage({
        provider: "cloudimage", providers: { cloudimage: { setup, defaults: { token: "demo", ...defaults } } },
        presets: {}, densities: [1, 2], screens: { sm: 640, md: 768 }, domains: [], alias: {}, nuxt: { baseURL: "/" },
    });
    return image.getSizes(src, options);
}"""


@dataclass(frozen=True)
class NuxtCase:
    src: str
    modifiers: dict[str, Any]
    at_1: Picture
    at_2: Picture
    defaults: dict[str, str] = field(default_factory=dict[str, str])
    sizes: str | None = None


NUXT_CASES = (
    NuxtCase(
        "PHOTOS/grid.jpg",
        {"width": 400, "quality": 60, "format": "webp"},
        ("PHOTOS/grid.jpg?width=400&q=60&force_format=webp", (400, 267), 1),
        ("PHOTOS/grid.jpg?width=800&q=60&force_format=webp", (800, 533), 2),
    ),
    NuxtCase(
        "PHOTOS/grid.jpg",
        {"width": 300, "height": 300, "fit": "cover"},
        ("v7/PHOTOS/grid.jpg?width=300&height=300&func=crop", (300, 300), 1),
        ("v7/PHOTOS/grid.jpg?width=600&height=600&func=crop", (600, 600), 2),
        {"apiVersion": "v7"},
    ),
    NuxtCase(
        "/small.jpg",
        {"width": 400},
        ("PHOTOS/small.jpg?width=400", (400, 267), 1),
        ("PHOTOS/small.jpg?width=800", (800, 533), 2),
        {"baseURL": "PHOTOS"},
    ),
    NuxtCase(
        "/grid.jpg",
        {"width": 400},
        ("HOST/grid.jpg?width=400", (400, 267), 1),
        ("HOST/grid.jpg?width=800", (800, 533), 2),
        {"baseURL": "HOST"},
    ),
    NuxtCase(
        "/grid.jpg",
        {"width": 400},
        ("v7/_photos_/grid.jpg?width=400", (400, 267), 1),
        ("v7/_photos_/grid.jpg?width=800", (800, 533), 2),
        {"baseURL": "_photos_", "apiVersion": "v7"},
    ),
    NuxtCase(
        "PHOTOS/grid.jpg",
        {"width": 400, "height": 300, "fit": "inside"},
        ("PHOTOS/grid.jpg?width=400&height=300&func=bound", (400, 267), 1),
        ("PHOTOS/grid.jpg?width=800&height=600&func=bound", (800, 533), 2),
        sizes="sm:100vw md:400px",
    ),
)


@pytest.mark.parametrize("dpr", [1, 2])
def test_nuxt_image_writes_urls_that_show_pictures_of_the_right_size(
    world: World, open_client: OpenClient, dpr: int
) -> None:
    client = open_client("", imports=IMPORTS, dpr=dpr)
    pictures: list[Picture] = []
    for case in NUXT_CASES:
        defaults = {key: fill(value, world) for key, value in case.defaults.items()}
        options = {"modifiers": case.modifiers} | ({"sizes": case.sizes} if case.sizes else {})
        written = client.run(NUXT, [fill(case.src, world), options, defaults])
        # Its `src` is the largest candidate, for browsers that know no srcset.
        client.show(srcset=written["srcset"], sizes=written.get("sizes"))
        path, pixels, density = case.at_1 if dpr == 1 else case.at_2
        pictures.append((fill(path, world), pixels, density))
    check(client.wait(len(pictures)), pictures, f"https://{HOST}/")


EDITOR = """async ([operations, cropping]) => {
    const { default: write } = await import("/npm/react-filerobot-image-editor/lib/utils/operationsToCloudimageUrl.js");
    const cloudimage = { token: "demo", domain: "cloudimg.io", secureProtocol: true, imageSealing: { enable: false } };
    const shown = { width: 900, height: 600, scaledBy: 1 }, original = { width: 1800, height: 1200 };
    return write(
        { ...cloudimage, version: operations.version },
        { ...operations, adjustments: { crop: {}, ...operations.adjustments } }, shown, original, cropping);
}"""


EDITOR_CASES: tuple[tuple[str, dict[str, Any], str, tuple[int, int]], ...] = (
    (
        "PHOTOS/grid.jpg",
        {"resize": {"width": 300, "height": 200}, "version": "v7"},
        "v7/http%3A%2F%2FENCODED%2Fgrid.jpg?w=300&h=200&ci_url_encoded=1",
        (300, 200),
    ),
    (
        "PHOTOS/grid.jpg?size=big&v=2",
        {"resize": {"width": 300, "height": 300}},
        "http%3A%2F%2FENCODED%2Fgrid.jpg%3Fsize%3Dbig%26v%3D2?w=300&h=300&ci_url_encoded=1",
        (300, 300),
    ),
    ("PHOTOS/small.jpg", {}, "http%3A%2F%2FENCODED%2Fsmall.jpg?ci_url_encoded=1", (300, 200)),
)
"""What is edited and how, what it writes, the size of what comes."""


def test_the_image_editor_writes_urls_that_show_pictures_of_the_right_size(
    world: World, open_client: OpenClient
) -> None:
    client = open_client("", imports=IMPORTS)
    for src, operations, _, _ in EDITOR_CASES:
        client.show(src=client.run(EDITOR, [{"imgSrc": fill(src, world), **operations}, {}]))
    pictures = [(fill(path, world), size, 1) for _, _, path, size in EDITOR_CASES]
    check(client.wait(len(pictures)), pictures, f"https://{HOST}/")


# What is not there yet. Each case says what Cloudimage's documentation promises, and passes once it is there.


@dataclass(frozen=True)
class Expected:
    """What a picture should look like: its size, and colours at places; `media_type` where the URL asks for one."""

    size: tuple[int, int] | None = None
    colours: dict[tuple[float, float], str] = field(default_factory=dict[tuple[float, float], str])
    media_type: str = ""
    clear_corners: bool = False
    grey: bool = False


def check_expected(shown: Shown, expected: Expected) -> None:
    assert "unsupported" not in shown.headers.get("pellucid-ignored", "")
    if expected.size is not None:
        assert shown.pixels == expected.size
    for place, colour in expected.colours.items():
        assert is_near(colour_at(shown, *place), colour), place
    if expected.media_type:
        assert shown.headers["content-type"] == expected.media_type
    if expected.clear_corners:
        assert colour_at(shown, 0, 0)[3] == 0
    if expected.grey:
        red, green, blue, _ = colour_at(shown, 0.1, 0.1)
        assert max(red, green, blue) - min(red, green, blue) <= 4


NOT_BUILT = {"f=grey", "blur=10", "bright"}
"""What this server does not do yet."""


def case(parameter: str, *values: Any) -> Any:
    """A case named after its parameter, expected to fail while that is not built."""
    missing = pytest.mark.xfail(strict=True, reason=f"{parameter} is not there yet")
    return pytest.param(*values, id=parameter, marks=[missing] if parameter in NOT_BUILT else [])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        case(
            "func=fit",
            "func=fit&w=300&h=300&bg_colour=1050a0",
            Expected((300, 300), {(0.5, 0.02): "1050a0", (0.5, 0.5): MIDDLE, (0.02, 0.22): CELLS[0][0]}),
        ),
        case("func=cover", "func=cover&w=300&h=300", Expected((300, 300), {(0.02, 0.02): CELLS[0][0]})),
        case("func=boundmin", "func=boundmin&w=300&h=300", Expected((450, 300))),
        case("func=cropfit", "func=cropfit&w=300&h=300", Expected((300, 300), {(0.5, 0.5): MIDDLE})),
        case("gravity=north", "w=390&h=65&gravity=north", Expected((390, 65), {(0.5, 0.5): CELLS[0][1]})),
        case("gravity=auto", "w=390&h=130&gravity=auto", Expected((390, 130))),
        case("gravity=Xp,Yp", "w=390&h=65&gravity=0p,100p", Expected((390, 65), {(0.5, 0.5): CELLS[2][1]})),
        case("aspect_ratio", "w=300&aspect_ratio=1", Expected((300, 300), {(0.5, 0.5): MIDDLE})),
        case(
            "tl_px-and-br_px",
            "w=300&tl_px=0,0&br_px=600,400",
            Expected((300, 200), {(0.1, 0.1): CELLS[0][0], (0.9, 0.9): CELLS[0][0]}),
        ),
        case("radius=max", "w=200&h=200&radius=max&force_format=png", Expected((200, 200), clear_corners=True)),
        case("flip=h", "w=300&flip=h", Expected((300, 200), {(0.1, 0.1): CELLS[0][2]})),
        # Counterclockwise; whether the width is that before or after is not said.
        case("r=90", "w=300&r=90", Expected(colours={(0.1, 0.1): CELLS[0][2], (0.1, 0.9): CELLS[0][0]})),
        case("f=grey", "w=300&f=grey", Expected((300, 200), grey=True)),
        case("blur=10", "w=300&blur=10", Expected((300, 200), {(0.5, 0.5): MIDDLE})),
        case("force_format=webp,jpg", "w=300&force_format=webp,jpg", Expected((300, 200), media_type="image/webp")),
    ],
)
def test_what_the_plugin_may_ask_for_beyond_sizes(open_client: OpenClient, params: str, expected: Expected) -> None:
    attribute = params.replace("&", "&amp;")
    # No wider than 400: from there on there are previews.
    (shown,) = open_client(f'<img ci-src="PHOTOS/grid.jpg" ci-params="{attribute}">' + plugin()).wait()
    check_expected(shown, expected)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        case(
            "func=fit",
            {"func": "fit", "width": 300, "height": 300, "bg_color": "1050a0"},
            Expected((300, 300), {(0.5, 0.02): "1050a0"}),
        ),
        case(
            "gravity=south",
            {"gravity": "south", "width": 600, "height": 100},
            Expected((600, 100), {(0.5, 0.5): CELLS[2][1]}),
        ),
        case(
            "tl_px-and-br_px",
            {"tl_px": "1200,800", "br_px": "1800,1200", "width": 300},
            Expected((300, 200), {(0.1, 0.1): CELLS[2][2]}),
        ),
        case("force_format=avif", {"format": "avif", "width": 300}, Expected((300, 200), media_type="image/avif")),
    ],
)
def test_what_unpic_may_ask_for_beyond_sizes(
    world: World, open_client: OpenClient, operations: dict[str, Any], expected: Expected
) -> None:
    client = open_client("", imports=IMPORTS)
    client.show(src=client.run(UNPIC, [f"{world.photos}/grid.jpg", operations]))
    (shown,) = client.wait(1)
    check_expected(shown, expected)


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        case("func=fit", "contain", Expected((300, 300), {(0.5, 0.5): MIDDLE})),
        case("func=cover", "fill", Expected((300, 300), {(0.02, 0.02): CELLS[0][0]})),
        case("func=boundmin", "outside", Expected((450, 300))),
    ],
)
def test_what_nuxt_image_may_ask_for_beyond_sizes(
    world: World, open_client: OpenClient, fit: str, expected: Expected
) -> None:
    client = open_client("", imports=IMPORTS)
    options = {"modifiers": {"width": 300, "height": 300, "fit": fit}}
    client.show(srcset=client.run(NUXT, [f"{world.photos}/grid.jpg", options, {}])["srcset"])
    (shown,) = client.wait(1)
    check_expected(shown, expected)


CORNER = {"x": 0, "y": 0, "width": 300, "height": 200, "ratio": 1.5}
"""The top left cell, on a canvas half as large as the original."""


@pytest.mark.parametrize(
    ("operations", "cropping", "expected"),
    [
        case(
            "tl_px-and-br_px",
            {"adjustments": {"crop": CORNER}},
            {},
            Expected((600, 400), {(0.1, 0.1): CELLS[0][0], (0.9, 0.9): CELLS[0][0]}),
        ),
        case(
            "gravity-and-aspect_ratio",
            {"adjustments": {"crop": CORNER | {"ratio": 3}}},
            {"lockCropAreaAt": "top-left"},
            Expected((1800, 600), {(0.1, 0.1): CELLS[0][0]}),
        ),
        case(
            "radius",
            {"adjustments": {"crop": CORNER | {"ratio": "ellipse"}}},
            {},
            Expected((600, 400), media_type="image/png", clear_corners=True),
        ),
        case("r", {"adjustments": {"rotation": 90}}, {}, Expected((1200, 1800), {(0.1, 0.1): CELLS[2][0]})),
        case("flip=x", {"adjustments": {"isFlippedX": True}}, {}, Expected((1800, 1200), {(0.1, 0.1): CELLS[0][2]})),
        case(
            "bright",
            {"finetunes": [{"finetuneName": "Brighten"}], "finetunesProps": {"brightness": 1}},
            {},
            Expected((1800, 1200), {(0.5, 0.9): "ffffff"}),
        ),
    ],
)
def test_what_the_image_editor_may_ask_for_beyond_sizes(
    world: World, open_client: OpenClient, operations: dict[str, Any], cropping: dict[str, str], expected: Expected
) -> None:
    client = open_client("", imports=IMPORTS)
    client.show(src=client.run(EDITOR, [{"imgSrc": f"{world.photos}/grid.jpg", **operations}, cropping]))
    (shown,) = client.wait(1)
    check_expected(shown, expected)
