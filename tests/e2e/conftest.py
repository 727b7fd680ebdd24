"""The fixtures of `e2e_server` and `raw_clients`, for every test in this folder."""

from e2e_server import (
    compiled_model,
    cup_jpg,
    face_png,
    origin,
    pytest_collection_modifyitems,
    rocket_jpg,
    server,
    start_server,
)
from raw_clients import connect

__all__ = [
    "compiled_model",
    "connect",
    "cup_jpg",
    "face_png",
    "origin",
    "pytest_collection_modifyitems",
    "rocket_jpg",
    "server",
    "start_server",
]
