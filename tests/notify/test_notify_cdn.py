"""Purge requests: templates for three CDNs."""

from __future__ import annotations

import json

import pytest

from pellucid.notify.cdn import CdnApi, PurgeRequest, check_templates


def api(url: str, *, method: str = "POST", body: str = "", **headers: str) -> CdnApi:
    return CdnApi(method=method, url=url, headers=headers, body=body)


def requests(cdn: CdnApi, tags: list[str], paths: list[str]) -> list[PurgeRequest]:
    return [cdn.build_request(batch) for batch in cdn.batches(tags, paths)]


def test_a_list_of_tags_in_the_body() -> None:
    cdn = api("https://api.example/zones/1/purge_cache", body='{"tags":{tags},"x":{}}', Authorization="Bearer t")
    (request,) = requests(cdn, ["o-1", 'quo"te'], ["/a"])
    assert (request.method, request.url) == ("POST", "https://api.example/zones/1/purge_cache")
    assert request.headers == {"Authorization": "Bearer t", "Content-Type": "application/json"}
    assert json.loads(request.body) == {"tags": ["o-1", 'quo"te'], "x": {}}


def test_many_tags_go_in_several_calls() -> None:
    tags = [f"o-{n}" for n in range(61)]
    found = requests(api("https://api.example/", body="{tags}"), tags, [])
    assert [len(json.loads(call.body)) for call in found] == [30, 30, 1]
    assert [tag for call in found for tag in json.loads(call.body)] == tags


def test_one_call_for_each_tag() -> None:
    cdn = api("https://api.example/service/ID/purge/{tag}", **{"Fastly-Key": "k"})
    found = requests(cdn, ["o-1", "a/b ?ü"], ["/a"])
    assert [call.url for call in found] == [
        "https://api.example/service/ID/purge/o-1",
        "https://api.example/service/ID/purge/a%2Fb%20%3F%C3%BC",
    ]
    assert {(call.body, str(call.headers)) for call in found} == {(b"", "{'Fastly-Key': 'k'}")}


def test_one_call_for_each_path() -> None:
    cdn = api("http://nginx:8080{url}", method="PURGE")
    found = requests(cdn, ["o-1"], ["/h.example/a.png?w=4&bg_remove=1", "/b"])
    assert [(call.method, call.url) for call in found] == [
        ("PURGE", "http://nginx:8080/h.example/a.png?w=4&bg_remove=1"),
        ("PURGE", "http://nginx:8080/b"),
    ]
    (request,) = requests(api("https://api.example/purge?async=1&url=https://cdn.example{url}"), [], ["/a?w=4&h=5"])
    assert request.url == "https://api.example/purge?async=1&url=https://cdn.example%2Fa%3Fw%3D4%26h%3D5"


def test_one_call_for_everything() -> None:
    assert [call.url for call in requests(api("https://api.example/purge_all"), ["a", "b"], ["/a"])] == [
        "https://api.example/purge_all"
    ]


def test_nothing_of_the_kind_that_the_cdn_purges() -> None:
    assert api("https://api.example/{tag}").batches([], ["/a"]) == ()
    assert api("http://nginx{url}").batches(["o-1"], []) == ()
    assert api("https://api.example/", body="{tags}").batches([], ["/a"]) == ()


def test_a_content_type_of_ones_own_stays() -> None:
    (request,) = requests(api("https://api.example/", body="{tags}", **{"content-type": "text/x"}), ["a"], [])
    assert request.headers == {"content-type": "text/x"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (api("https://x.example/", body="{tags}"), api("https://y.example/{tag}")),
        (api("https://x.example/{tag}"), api("http://nginx{url}")),
        (api("http://nginx{url}"), api("https://y.example/", body="{tags}")),
    ],
)
def test_a_batch_for_another_kind_of_api_is_refused(before: CdnApi, after: CdnApi) -> None:
    (batch,) = before.batches(["a", "b"][: 2 if before.body else 1], ["/a"])
    with pytest.raises(ValueError, match="it is not for"):
        after.build_request(batch)


def test_headers_are_not_shown() -> None:
    cdn = api("https://x.example/{tag}", Key="topsecret")
    (request,) = requests(cdn, ["a"], [])
    assert "topsecret" not in repr(cdn) + repr(request)


@pytest.mark.parametrize(
    ("method", "status", "done"), [("POST", 200, True), ("POST", 404, False), ("PURGE", 404, True)]
)
def test_what_counts_as_purged(method: str, status: int, done: bool) -> None:
    assert api("https://x.example/", method=method).is_done(status) is done


@pytest.mark.parametrize(
    ("url", "body", "message"),
    [
        ("https://x.example/{tagg}", "", "tagg"),
        ("https://x.example/{tag}{url}", "", "not for both"),
        ("https://x.example/", '{"files":{urls}}', "urls"),
        ("https://x.example{url}", "{tags}", "no tags"),
    ],
)
def test_templates_that_cannot_be_filled(url: str, body: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_templates(url, body)
    check_templates("https://x.example/{tag}", '{"tags":{tags},"hosts":[],"x":{}}')
