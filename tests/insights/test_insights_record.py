"""What is stored of an image: what was looked for, also where nothing was found."""

from __future__ import annotations

from pellucid.image.box import Box
from pellucid.insights.needs import Needs
from pellucid.insights.record import InsightRecord, content_name, decode_record, encode_record
from pellucid.insights.values import NO_INSIGHTS, Area, Salience
from pellucid.spec import Colour

FULL = InsightRecord(
    looked=frozenset({"faces", "salience", "main_colour", content_name(5)}),
    faces=(Area(left=0.1, top=0.2, right=0.3, bottom=0.4),),
    salience=Salience(columns=(0.5, 0.5), rows=(1.0, 0.0)),
    main_colour=Colour(red=1, green=2, blue=3),
    content={content_name(5): Box(left=1, top=2, width=3, height=4)},
)
ALL = Needs(faces=True, salience=True, main_colour=True, trim=5)


def test_a_record_is_read_as_it_was_written() -> None:
    assert decode_record(encode_record(FULL)) == FULL
    assert decode_record(encode_record(InsightRecord())) == InsightRecord()


def test_what_is_damaged_or_of_another_version_is_nothing() -> None:
    assert decode_record(b"") is None
    assert decode_record(encode_record(FULL)[:-3]) is None
    assert decode_record(encode_record(InsightRecord(version=10**6))) is None


def test_what_was_looked_for_is_not_looked_for_again() -> None:
    assert not FULL.missing(ALL)
    assert InsightRecord().missing(ALL) == ALL
    assert FULL.missing(Needs(trim=6, faces=True)) == Needs(trim=6)
    nothing_found = InsightRecord(looked=frozenset({"faces"}))
    assert nothing_found.missing(Needs(faces=True, salience=True)) == Needs(salience=True)


def test_the_planner_gets_what_it_needs_alone() -> None:
    insights = FULL.insights(ALL)
    assert insights.faces == FULL.faces
    assert insights.content == Box(left=1, top=2, width=3, height=4)
    assert FULL.insights(Needs()) == NO_INSIGHTS
    assert FULL.insights(Needs(trim=7)).content is None


def test_what_was_found_later_is_added() -> None:
    first = InsightRecord(looked=frozenset({"faces"}), faces=FULL.faces)
    name = content_name(2)
    more = InsightRecord(
        looked=frozenset({content_name(2)}), content={content_name(2): Box(left=0, top=0, width=1, height=1)}
    )
    both = first.with_found(more)
    assert both.faces == FULL.faces
    assert both.looked == {"faces", name}
    assert both.content == more.content
