"""read_origin: which address a path names."""

from __future__ import annotations

import pytest

from pellucid.errors import BadOriginError
from pellucid.url.origin import MAX_ORIGIN_LENGTH, read_origin


def _read(raw_path: str, *, url_encoded: bool = False) -> str:
    return str(read_origin(raw_path, url_encoded=url_encoded))


@pytest.mark.parametrize(
    ("raw_path", "origin"),
    [
        ("/h.example", "h.example/"),
        ("/https://h.example", "https://h.example/"),
        ("/h.example:8080/a", "h.example:8080/a"),
        ("/minio:9000/a", "minio:9000/a"),
        ("/http://minio/a", "http://minio/a"),
        ("/localhost/a", "localhost/a"),
        ("/127.0.0.1/a", "127.0.0.1/a"),
        ("/[::1]/a", "[::1]/a"),
        ("/http://[2001:DB8:0::1]:80/a", "http://[2001:db8::1]/a"),
        ("/%5B::1%5D:81/a", "[::1]:81/a"),
        ("/h.example:443/a", "h.example:443/a"),  # without a scheme nothing says what the port is by default
        ("/https://h.example:80/a", "https://h.example:80/a"),
        ("/https://h.example:0443/a", "https://h.example/a"),
        ("/my_bucket.h.example/a", "my_bucket.h.example/a"),
        ("/bücher.example/a", "xn--bcher-kva.example/a"),
        ("/B%C3%9CCHER.example/a", "xn--bcher-kva.example/a"),
        ("/h\u3002example/a", "h.example/a"),
        ("/_a_/b.jpg", "_a_/b.jpg"),
        ("/v7/__a__/b.jpg", "__a__/b.jpg"),
        ("/_a_", "_a_/"),
        ("/%5Fa%5f/b.jpg", "_a_/b.jpg"),
        ("/https://_a_/b.jpg", "https://_a_/b.jpg"),
        ("/_dmarc.h.example/b.jpg", "_dmarc.h.example/b.jpg"),
    ],
)
def test_hosts_and_aliases(raw_path: str, origin: str) -> None:
    assert _read(raw_path) == origin


@pytest.mark.parametrize(
    ("path", "normalised"),
    [
        ("/a%7Eb%2dc", "/a~b-c"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/\u00c3\u00a9", "/%C3%A9"),  # UTF-8 bytes as a server hands them over
        ("/日本", "/%E6%97%A5%E6%9C%AC"),
        ("/\u00e9\u65e5", "/%C3%A9%E6%97%A5"),
        ("/a b", "/a%20b"),
        ("/a%20b+c", "/a%20b+c"),
        ("/100%", "/100%25"),
        ("/%zz%4", "/%25zz%254"),
        ("/%2541", "/%2541"),
        ("/a%2Fb%3Fc%23d", "/a%2Fb%3Fc%23d"),
        ('/<>"{}|\\^`[]#', "/%3C%3E%22%7B%7D%7C%5C%5E%60%5B%5D%23"),
        ("/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e/b/%2E%2e/c", "/a/c"),
        ("/../../a", "/a"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/..%2Fa", "/..%2Fa"),  # one segment; what serves it has to know
        ("/a//../b", "/a/b"),
        ("//a//b/", "//a//b/"),
        ("/...", "/..."),
    ],
)
def test_paths_are_normalised_one_way(path: str, normalised: str) -> None:
    ref = read_origin(f"/h.example{path}", url_encoded=False)
    assert ref.path == normalised
    assert read_origin(f"/h.example{ref.path}", url_encoded=False) == ref
    assert read_origin(f"/_a_{path}", url_encoded=False).path == normalised


@pytest.mark.parametrize(
    ("raw_path", "origin"),
    [
        # encoded as a whole: decoded once
        ("/https%3A%2F%2Fh.example%2Fa.jpg%3Fw%3D22%26x%3Da%2520b", "https://h.example/a.jpg?w=22&x=a%20b"),
        ("/h.example%2Fa.jpg%3Fw%3D22", "h.example/a.jpg?w=22"),
        ("/h.example%3A81/a.jpg%3Fw%3D22", "h.example:81/a.jpg?w=22"),
        ("/https%3A%2F%2Fh.example%3Fw%3D22", "https://h.example/?w=22"),
        ("/https%3A%2F%2Fh.example%2Fdir%252Fa.jpg", "https://h.example/dir%2Fa.jpg"),
        ("/https%3A%2F%2Fh.example%2Fa%3F", "https://h.example/a"),
        ("/https%3A%2F%2Fh.example%2F%C3%A9%FF", "https://h.example/%C3%A9%FF"),
        ("/https%3A%2F%2Fh.example%2Fa%3Fb%3Fc%3D%5B1%5D", "https://h.example/a?b?c=%5B1%5D"),
        ("/_a_%2Fb%20c.jpg", "_a_/b%20c.jpg"),
        ("/%2F%2Fh.example%2Fa", "h.example/a"),
        # not encoded although the flag says so: every sequence stays
        ("/https://h.example/dir%2Fa.jpg", "https://h.example/dir%2Fa.jpg"),
        ("/https://h.example/a%2520b.jpg", "https://h.example/a%2520b.jpg"),
        ("/https:/h.example/100%25.jpg", "https://h.example/100%25.jpg"),
        ("/_a_/dir%2Fb.jpg", "_a_/dir%2Fb.jpg"),
        ("/h.example/a b.jpg", "h.example/a%20b.jpg"),
        # only the query encoded
        ("/https://h.example/dir%2Fa.jpg%3Falt%3Dmedia%26x%3D%253F", "https://h.example/dir%2Fa.jpg?alt=media&x=%3F"),
    ],
)
def test_ci_url_encoded(raw_path: str, origin: str) -> None:
    assert _read(raw_path, url_encoded=True) == origin


def test_an_encoded_scheme_needs_no_flag() -> None:
    assert _read("/v7/HTTP%3a%2F%2Fh.example%2Fa%3Fb") == "http://h.example/a?b"


def test_without_the_flag_a_question_mark_stays_a_part_of_the_path() -> None:
    assert _read("/h.example/a%3Fb") == "h.example/a%3Fb"


@pytest.mark.parametrize(
    "raw_path",
    [
        *["", "/", "//", "/v7/", "/v7", "/photos", "/photos/a.jpg", "/photos./a", "/_/a", "/__/a", "/_a/b", "/./a"],
        *["/ftp://h.example/a", "/file:///etc/passwd", "/data://x", "/https://", "/https:///", "/http:h.example/a"],
        *[
            "/u@h.example/a",
            "/https://u:p@h.example/a",
            "/https://u%40h.example/a",
            "/https://h.example\uff20x.example/a",
        ],
        *["/h.example:/a", "/h.example:0/a", "/h.example:65536/a", "/h.example:8x/a", "/h.example:１/a"],
        *["/h..example/a", "/.h.example/a", "/h.example../a", "/h ex.ample/a", "/h%00.example/a", "/h.ex%2Fample/a"],
        *["/h.ex#ample/a", "/h.ex\\ample/a", "/h.ex\uff0fample/a", "/" + "a" * 64 + ".example/a"],
        *["/" + "a.b" * 100 + "/a", "/" + "é" * 300 + ".example/a", "/%FF.example/a", "/xn--é.example/a"],
        *["/127.1/a", "/http://2130706433/a", "/http://0x7f.1/a", "/1.2.3.256/a", "/01.2.3.4/a", "/h.1/a"],
        *["/[::1/a", "/[::g]/a", "/[fe80::1%25eth0]/a", "/[::1]x/a", "/::1/a", "/[]/a"],
        *["/h.example/%00", "/h.example/a%0Ab", "/h.example/a\x1fb", "/h.example/%7f", "/_a_/\0", "/_a%0D_/b"],
    ],
)
def test_what_names_no_origin_is_refused(raw_path: str) -> None:
    with pytest.raises(BadOriginError):
        read_origin(raw_path, url_encoded=False)


@pytest.mark.parametrize(
    "raw_path",
    ["/_a_%2Fb%3Fc", "/_a_/b%3Fc", "/https%3A%2F%2Fh.example%2F%3Fa%2500", "/https%3A%2F%2Fh.example%2F%0A", "/%00"],
)
def test_what_names_no_origin_when_decoded_is_refused(raw_path: str) -> None:
    with pytest.raises(BadOriginError):
        read_origin(raw_path, url_encoded=True)


def test_the_message_for_a_bare_name_helps() -> None:
    with pytest.raises(BadOriginError, match=r"^'photos' is not a host name; write /host/path or an alias$"):
        read_origin("/photos/a.jpg", url_encoded=False)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(BadOriginError) as caught:
        read_origin("/https://user:secret@h.example/a.jpg", url_encoded=False)
    assert "secret" not in str(caught.value)


def test_a_host_has_at_most_253_characters() -> None:
    longest = "a." * 126 + "b"
    assert _read(f"/{longest}./") == f"{longest}/"
    with pytest.raises(BadOriginError):
        _read(f"/a{longest}/")


def test_length_is_counted_in_the_normalised_address() -> None:
    longest = "h.example/" + "a" * (MAX_ORIGIN_LENGTH - len("h.example/"))
    assert _read(f"/{longest}") == longest
    assert _read("/" + longest.replace("a", "%61")[: 3 * MAX_ORIGIN_LENGTH]).startswith("h.example/aa")
    with pytest.raises(BadOriginError, match="longer than 4096"):
        _read(f"/{longest}a")
    with pytest.raises(BadOriginError, match="longer than 4096"):
        _read("/h.example/" + "é" * 700)
