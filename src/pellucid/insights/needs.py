"""PURE: which insights the plan of a spec needs. One that needs none pays nothing."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.spec import AutoColour, Fit, Gravity, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Which insights are needed; `trim` is the parameter's value, 0 for no border to be found."""

    faces: bool = False
    salience: bool = False
    main_colour: bool = False
    trim: float = 0.0

    def __bool__(self) -> bool:
        return self.faces or self.salience or self.main_colour or self.trim > 0


def needs_of(spec: Spec, *, has_subject: bool) -> Needs:
    """What `spec` needs of an image. `has_subject`: a matte is applied whose subject's box is known, which stands for
    the salient point and the border.
    """
    geometry = spec.geometry
    gravity = geometry.gravity if _moves(spec) else Gravity.CENTER
    looks_around = gravity in (Gravity.AUTO, Gravity.SMART, Gravity.FACE, Gravity.TRIM)
    faces = geometry.fit is Fit.FACE or (looks_around and not (gravity is Gravity.AUTO and has_subject))
    return Needs(
        faces=faces,
        salience=looks_around and not has_subject,
        main_colour=isinstance(spec.background.colour, AutoColour),
        trim=0.0 if has_subject else geometry.trim,
    )


def _moves(spec: Spec) -> bool:
    """Whether gravity can matter: without a box of a shape of its own nothing is cropped and nothing is padded."""
    geometry = spec.geometry
    has_box = geometry.width is not None and geometry.height is not None
    return has_box or geometry.aspect_ratio is not None or geometry.fit in (Fit.FIT, Fit.CROPFIT)
