"""SVG files made by code, with the size that Chromium gives them and the colours that it draws.

`tests/e2e/test_e2e_svg.py` holds these tables against Chromium itself, `tests/image/test_image_svg.py` the renderer
against the tables.
"""

from __future__ import annotations

XMLNS = 'xmlns="http://www.w3.org/2000/svg"'
BLUE, RED, LIME, BLACK = (30, 60, 200), (200, 30, 30), (0, 255, 0), (0, 0, 0)

_CONTENT = '<rect x="2" y="2" width="6" height="6" fill="red"/>'


def _sized(attributes: str, style: str = "") -> str:
    sheet = f"<style>{style}</style>" if style else ""
    return f"<svg {XMLNS} {attributes}>{sheet}{_CONTENT}</svg>"


SIZES: dict[str, tuple[str, tuple[int, int]]] = {
    "nothing": (_sized(""), (300, 150)),
    "square viewBox": (_sized('viewBox="0 0 24 24"'), (150, 150)),
    "wide viewBox": (_sized('viewBox="0 0 1000 100"'), (300, 30)),
    "high viewBox": (_sized('viewBox="0 0 100 1000"'), (15, 150)),
    "viewBox with commas": (_sized('viewBox="0,0,120,60"'), (300, 150)),
    "viewBox that begins elsewhere": (_sized('viewBox="-50 -50 200 400"'), (75, 150)),
    "tiny viewBox": (_sized('viewBox="0 0 1e-3 .002"'), (75, 150)),
    "huge viewBox": (_sized('viewBox="0 0 1e9 1e9"'), (150, 150)),
    "viewBox without a size": (_sized('viewBox="0 0 0 0"'), (300, 150)),
    "negative viewBox": (_sized('viewBox="0 0 -5 10"'), (300, 150)),
    "broken viewBox": (_sized('viewBox="0 0 abc"'), (300, 150)),
    "viewBox that is stretched": (_sized('viewBox="0 0 100 100" preserveAspectRatio="none"'), (300, 150)),
    "percentages": (_sized('width="100%" height="100%"'), (300, 150)),
    "percentages and viewBox": (_sized('width="50%" height="50%" viewBox="0 0 400 100"'), (300, 75)),
    "width": (_sized('width="80"'), (80, 150)),
    "height": (_sized('height="80"'), (300, 80)),
    "width and viewBox": (_sized('width="80" viewBox="0 0 100 50"'), (80, 40)),
    "height and viewBox": (_sized('height="80" viewBox="0 0 100 50"'), (160, 80)),
    "width, percentage and viewBox": (_sized('width="80" height="100%" viewBox="0 0 100 50"'), (80, 40)),
    "both and another viewBox": (_sized('width="80" height="80" viewBox="0 0 100 50"'), (80, 80)),
    "auto": (_sized('width="auto" height="auto" viewBox="0 0 100 25"'), (300, 75)),
    "words": (_sized('width="abc" height="50 px"'), (300, 150)),
    "empty": (_sized('width="" height=""'), (300, 150)),
    "fractions": (_sized('width="33.3" height="66.7"'), (33, 67)),
    "exponents": (_sized('width="1e2" height="5E1"'), (100, 50)),
    "spaces and a sign": (_sized('width="+20" height=" 30 "'), (20, 30)),
    "px": (_sized('width="10px" height="20PX"'), (10, 20)),
    "pt": (_sized('width="10pt" height="20pt"'), (13, 27)),
    "pc": (_sized('width="10pc" height="20pc"'), (160, 320)),
    "mm": (_sized('width="10mm" height="20mm"'), (38, 76)),
    "cm": (_sized('width="10cm" height="20cm"'), (378, 756)),
    "in": (_sized('width="1in" height="2IN"'), (96, 192)),
    "Q": (_sized('width="10q" height="20Q"'), (9, 19)),
    "em": (_sized('width="10em" height="20rem"'), (160, 320)),
    "em of another size": (_sized('width="10em" height="20em" font-size="20"'), (200, 400)),
    "style": (_sized('style="width:70px;height:40px"'), (300, 150)),
    "style beside attributes": (_sized('width="10" height="12" style="width:70px; height:40px;"'), (10, 12)),
    "style sheet": (_sized("", "svg{width:70px;height:40px !important}"), (300, 150)),
    "prefix": (f'<s:svg xmlns:s="{XMLNS[7:-1]}" viewBox="0 0 10 20"><s:rect width="9" height="9"/></s:svg>', (75, 150)),
    "position": (_sized('x="20" y="20" width="60" height="40"'), (60, 40)),
    "content beyond": (
        f'<svg {XMLNS} width="60" height="40"><rect x="-50" y="-9" width="300" height="200"/></svg>',
        (60, 40),
    ),
}
"""Text and size in pixels (`naturalWidth`, `naturalHeight` of an `<img>`)."""


def _painted(style: str, body: str, attributes: str = "") -> str:
    return f'<svg {XMLNS} width="40" height="20" {attributes}><style>{style}</style>{body}</svg>'


_TWO = '<rect class="a" width="20" height="20"/><rect class="b" x="20" width="20" height="20"/>'
_REFERRING = (
    '<rect width="20" height="20" fill="var(--x)"/><rect x="20" width="20" height="20" style="fill:var(--x, lime)"/>'
)
_ONE = '<rect width="40" height="20" style="fill:var(--x)"/>'
_GROUPS = (
    '<g class="t"><rect width="20" height="20" fill="var(--x)"/></g>'
    '<g class="u"><rect x="20" width="20" height="20" fill="var(--x)"/></g>'
)

Colours = tuple[tuple[int, int, int], tuple[int, int, int]]

PAINTED: dict[str, tuple[str, Colours]] = {
    "rule": (_painted(":root{--x:#1e3cc8}.b{fill:var(--x)}.a{fill:#c81e1e}", _TWO), (RED, BLUE)),
    "by type": (_painted("svg{--x:#1e3cc8}", _REFERRING), (BLUE, BLUE)),
    "by star": (_painted("*{--x:#1e3cc8}", _REFERRING), (BLUE, BLUE)),
    "by id": (_painted("#r{--x:#1e3cc8}", _REFERRING, 'id="r"'), (BLUE, BLUE)),
    "by attribute": (_painted('[data-k="1"]{--x:#1e3cc8}', _REFERRING, 'data-k="1"'), (BLUE, BLUE)),
    "by attribute with another value": (_painted("[data-k='1']{--x:#1e3cc8}", _REFERRING, 'data-k="2"'), (BLACK, LIME)),
    "root's style": (_painted("", _REFERRING, "style='--x:#1e3cc8'"), (BLUE, BLUE)),
    "fallbacks alone": (_painted("", _REFERRING), (BLACK, LIME)),
    "fallback in a fallback": (
        _painted("", '<rect width="40" height="20" fill="var(--p, var(--q, #1e3cc8))"/>'),
        (BLUE, BLUE),
    ),
    "currentColor as fallback": (
        _painted("", '<rect width="40" height="20" fill="var(--y, currentColor)"/>', 'color="#1e3cc8"'),
        (BLUE, BLUE),
    ),
    "variables of variables": (_painted(":root{--a:#1e3cc8;--b:var(--a);--x:var(--b)}", _REFERRING), (BLUE, BLUE)),
    "variables of later ones": (_painted(":root{--x:var(--b);--b:var(--a);--a:#1e3cc8}", _REFERRING), (BLUE, BLUE)),
    "a circle of variables": (_painted(":root{--x:var(--y);--y:var(--x)}", _REFERRING), (BLACK, LIME)),
    "a variable of itself": (_painted(":root{--x:var(--x)}", _REFERRING), (BLACK, LIME)),
    "by class below": (_painted(".t{--x:#c81e1e}.u{--x:#1e3cc8}", _GROUPS), (RED, BLUE)),
    "by style below": (
        _painted("", f'<g style="--x:#c81e1e"><rect width="20" height="20" fill="var(--x)"/></g>{_TWO}'),
        (BLACK, BLACK),
    ),
    "inherited": (_painted(":root{--x:#c81e1e}.u{--x:#1e3cc8}", _GROUPS), (RED, BLUE)),
    "of parts": (
        _painted(":root{--r:30,60,200}", '<rect width="40" height="20" style="fill:rgb(var(--r))"/>'),
        (BLUE, BLUE),
    ),
    "names with capitals": (
        _painted(":root{--X:#1e3cc8;--x:red}", '<rect width="40" height="20" style="fill:var(--X)"/>'),
        (BLUE, BLUE),
    ),
    "spaces and comments": (
        _painted(
            "/* svg{--x:red} */ :root { /**/ --x : #1e3cc8 /**/ ; }",
            '<rect width="40" height="20" style=" fill : var( --x , red ) ; "/>',
        ),
        (BLUE, BLUE),
    ),
    "later rule": (_painted(":root{--x:red}:root{--x:#1e3cc8}", _REFERRING), (BLUE, BLUE)),
    "more specific rule": (_painted(":root{--x:#1e3cc8}svg{--x:red}", _REFERRING), (BLUE, BLUE)),
    "important rule": (_painted("svg{--x:#1e3cc8 !important}#r{--x:red}", _REFERRING, 'id="r"'), (BLUE, BLUE)),
    "class that is not there": (_painted(":root{--x:#1e3cc8}:root.dark{--x:white}", _REFERRING), (BLUE, BLUE)),
    "not a class": (_painted(":root:not(.dark){--x:#1e3cc8}", _REFERRING), (BLUE, BLUE)),
    "pointer above": (_painted(":root{--x:#1e3cc8}:root:hover{--x:white}", _REFERRING), (BLUE, BLUE)),
    "dark scheme": (
        _painted(":root{--x:#1e3cc8}@media (prefers-color-scheme: dark){:root{--x:white}}", _REFERRING),
        (BLUE, BLUE),
    ),
    "light scheme": (
        _painted(":root{--x:red}@media (prefers-color-scheme:light){:root{--x:#1e3cc8}}", _REFERRING),
        (BLUE, BLUE),
    ),
    "print": (_painted("rect{fill:#1e3cc8}@media print{rect{fill:red}}", _TWO), (BLUE, BLUE)),
    "screen": (_painted("rect{fill:red}@media screen, print{rect{fill:#1e3cc8}}", _TWO), (BLUE, BLUE)),
    "sheet for print": (
        f'<svg {XMLNS} width="40" height="20"><style>:root{{--x:#1e3cc8}}</style>'
        f'<style media="print">:root{{--x:red}}</style>{_REFERRING}</svg>',
        (BLUE, BLUE),
    ),
    "rule over attribute": (
        _painted(":root{--x:#1e3cc8}rect{fill:var(--x)}", '<rect width="40" height="20" fill="red"/>'),
        (BLUE, BLUE),
    ),
    "plain rule over one with a variable": (
        _painted(":root{--x:#1e3cc8}rect{fill:var(--x)}.a{fill:#c81e1e}", _TWO),
        (RED, BLUE),
    ),
    "rule with a variable over a plain one": (
        _painted(":root{--x:#1e3cc8}.b{fill:var(--x)}rect{fill:#c81e1e}", _TWO),
        (RED, BLUE),
    ),
    "style over rule": (
        _painted(":root{--x:red}rect{fill:var(--x)}", '<rect width="40" height="20" style="fill:#1e3cc8"/>'),
        (BLUE, BLUE),
    ),
    "style with a variable over rule": (_painted(":root{--x:#1e3cc8}rect{fill:red}", _ONE), (BLUE, BLUE)),
    "important rule over style": (
        _painted(":root{--x:#1e3cc8}rect{fill:var(--x) !important}", '<rect width="40" height="20" style="fill:red"/>'),
        (BLUE, BLUE),
    ),
    "no value: from the parent": (
        _painted("g{fill:#1e3cc8}rect{fill:var(--none)}", '<g><rect width="40" height="20" fill="red"/></g>'),
        (BLUE, BLUE),
    ),
    "child": (
        _painted(":root{--x:#1e3cc8}svg>g>rect{fill:var(--x)}", '<g><rect width="40" height="20"/></g>'),
        (BLUE, BLUE),
    ),
    "no child": (
        _painted(":root{--x:red}svg>rect{fill:var(--x)}", '<g fill="#1e3cc8"><rect width="40" height="20"/></g>'),
        (BLUE, BLUE),
    ),
    "descendant": (
        _painted(
            ":root{--x:#1e3cc8}svg .k rect{fill:var(--x)}", '<g class="j k"><g><rect width="40" height="20"/></g></g>'
        ),
        (BLUE, BLUE),
    ),
    "list of selectors": (_painted(":root{--x:#1e3cc8}.q, .a , .b{fill:var(--x)}", _TWO), (BLUE, BLUE)),
    "stroke": (
        _painted(":root{--x:#1e3cc8;--w:20px}", '<path d="M0,10h40" style="stroke:var(--x);stroke-width:var(--w)"/>'),
        (BLUE, BLUE),
    ),
    "gradient": (
        _painted(
            ":root{--x:#1e3cc8}",
            '<linearGradient id="g"><stop stop-color="var(--x)"/></linearGradient>'
            '<rect width="40" height="20" fill="url(#g)"/>',
        ),
        (BLUE, BLUE),
    ),
    "currentColor": (
        _painted(
            ":root{--x:#1e3cc8}", '<g style="color:var(--x)"><rect width="40" height="20" fill="currentColor"/></g>'
        ),
        (BLUE, BLUE),
    ),
    "moved": (
        _painted(
            ":root{--d:20px}",
            '<rect width="20" height="20" fill="#1e3cc8"/>'
            '<rect width="20" height="20" fill="#c81e1e" style="transform:translate(var(--d),0)"/>',
        ),
        (BLUE, RED),
    ),
    "symbol": (_painted(":root{--x:#1e3cc8}", f'<defs><g id="q">{_ONE}</g></defs><use href="#q"/>'), (BLUE, BLUE)),
    "CDATA": (
        f'<svg {XMLNS} width="40" height="20"><style type="text/css"><![CDATA[:root{{--x:#1e3cc8}}'
        "g > rect{fill:var(--x)}"
        ']]></style><g><rect width="40" height="20"/></g></svg>',
        (BLUE, BLUE),
    ),
    "prefix": (
        f'<s:svg xmlns:s="{XMLNS[7:-1]}" width="40" height="20">'
        "<s:style>:root{--x:#1e3cc8}rect{fill:var(--x)}</s:style>"
        '<s:rect width="40" height="20"/></s:svg>',
        (BLUE, BLUE),
    ),
    "entity": (
        f'<!DOCTYPE svg [<!ENTITY c "#1e3cc8">]><svg {XMLNS} width="40" height="20" style="--x:&c;">{_REFERRING}</svg>',
        (BLUE, BLUE),
    ),
    "lengths in mm": (_painted("", '<rect width="5.5mm" height="9mm" fill="#1e3cc8"/>'), (BLUE, BLACK)),
    "lengths in pt in CSS": (
        _painted("path{stroke-width:15pt}", '<path d="M0,10h40" stroke="#1e3cc8"/>'),
        (BLUE, BLUE),
    ),
}
"""Text and the colours in the middle of the left and of the right half; black may be transparent."""
