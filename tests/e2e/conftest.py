"""The fixtures of `e2e_server`, `demo_page` and `raw_clients`, for every test in this folder."""

from demo_page import browser, demo, fast, open_demo
from e2e_server import (
    bowl_jpg,
    compiled_model,
    dog_png,
    origin,
    otter_jpg,
    pytest_collection_modifyitems,
    server,
    start_server,
)
from raw_clients import connect

__all__ = [
    "bowl_jpg",
    "browser",
    "compiled_model",
    "connect",
    "demo",
    "dog_png",
    "fast",
    "open_demo",
    "origin",
    "otter_jpg",
    "pytest_collection_modifyitems",
    "server",
    "start_server",
]
