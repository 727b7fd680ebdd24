"""The fixtures of `e2e_server`, for every test in this folder."""

from e2e_server import (
    cup_jpg,
    face_png,
    origin,
    pytest_collection_modifyitems,
    rocket_jpg,
    server,
    start_server,
)

__all__ = [
    "cup_jpg",
    "face_png",
    "origin",
    "pytest_collection_modifyitems",
    "rocket_jpg",
    "server",
    "start_server",
]
