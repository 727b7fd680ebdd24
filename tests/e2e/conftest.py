"""The fixtures of `e2e_server`, `demo_page` and `raw_clients`, for every test in this folder."""

from demo_page import browser, demo, fast, open_demo
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
    "browser",
    "compiled_model",
    "connect",
    "cup_jpg",
    "demo",
    "face_png",
    "fast",
    "open_demo",
    "origin",
    "pytest_collection_modifyitems",
    "rocket_jpg",
    "server",
    "start_server",
]
