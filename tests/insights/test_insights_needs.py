"""A spec needs what its plan depends on, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.image.box import Box
from pellucid.insights.needs import Needs, needs_of
from pellucid.insights.values import Area, Insights, Salience
from pellucid.render.plan import plan
from pellucid.spec import Geometry, Spec
from pellucid.url.parse import parse_url


def needs(query: str, *, has_subject: bool = False) -> Needs:
    return needs_of(parse_url("/h.example/a.jpg", query).spec, has_subject=has_subject)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("w=400", Needs()),
        ("w=400&h=300", Needs()),
        ("w=400&h=300&gravity=north&radius=9&r=20&bg_color=456", Needs()),
        ("w=400&h=300&gravity=auto", Needs(faces=True, salience=True)),
        ("w=400&h=300&gravity=smart", Needs(faces=True, salience=True)),
        ("w=400&h=300&gravity=face", Needs(faces=True, salience=True)),
        ("w=400&gravity=auto", Needs()),  # nothing is cropped
        ("w=400&aspect_ratio=1&gravity=auto", Needs(faces=True, salience=True)),
        ("w=400&func=face", Needs(faces=True)),
        ("w=400&trim=5", Needs(trim=5)),
        ("w=400&h=300&trim=5&gravity=trim", Needs(faces=True, salience=True, trim=5)),
        ("bg_color=auto", Needs(main_colour=True)),
    ],
)
def test_needs(query: str, expected: Needs) -> None:
    assert needs(query) == expected
    assert bool(needs(query)) is (expected != Needs())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("w=400&h=300&gravity=auto", Needs()),
        ("w=400&trim=5", Needs()),
        ("w=400&h=300&gravity=smart", Needs(faces=True)),
        ("bg_color=auto&trim=3", Needs(main_colour=True)),
    ],
)
def test_a_subject_stands_for_the_object_and_the_border(query: str, expected: Needs) -> None:
    assert needs(query, has_subject=True) == expected


_QUERIES = st.lists(
    st.sampled_from(
        [
            *("w=300", "h=200", "gravity=auto", "gravity=smart", "gravity=face", "gravity=north", "gravity=trim"),
            *("func=fit", "func=face", "func=bound", "func=cropfit", "aspect_ratio=2", "trim=4", "flip=h", "r=90"),
            "tl_px=90,90",
        ]
    ),
    max_size=6,
).map("&".join)

EVERYTHING = Insights(
    faces=(Area(left=0.7, top=0.1, right=0.9, bottom=0.3),),
    salience=Salience(columns=(0.9, 0.1, 0.0, 0.0), rows=(0.0, 0.0, 0.2, 0.8)),
    content=Box(left=100, top=50, width=500, height=450),
)


@given(query=_QUERIES)
def test_what_a_spec_does_not_need_changes_nothing(query: str) -> None:
    spec = parse_url("/h.example/a.jpg", query).spec
    needed = needs_of(spec, has_subject=False)
    known = Insights(
        faces=EVERYTHING.faces if needed.faces else (),
        salience=EVERYTHING.salience if needed.salience else None,
        content=EVERYTHING.content if needed.trim else None,
    )
    assert _plan(spec, known) == _plan(spec, EVERYTHING)


def _plan(spec: Spec, insights: Insights) -> object:
    geometry: Geometry = spec.geometry
    return plan(geometry, width=800, height=600, max_pixels=10**9, insights=insights)
