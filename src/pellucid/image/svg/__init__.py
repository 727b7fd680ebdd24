"""SVG: known by its structure, sized as browsers size it, its CSS variables put in, for librsvg to draw."""
