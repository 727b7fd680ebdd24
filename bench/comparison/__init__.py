"""Parts of `bench/compare.py`. `protocol` and `rembg_side` run under rembg's Python and import nothing of Pellucid."""
