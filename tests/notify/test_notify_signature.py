"""Signatures: a published example, an independent verification, invalid secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from pellucid.notify.signature import signature_headers, signing_keys

# The example that the libraries of Standard Webhooks are tested with.
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [SECRET, f"whsec_{SECRET}", f" whsec_{SECRET} , "])
def test_the_published_example(secret: str) -> None:
    headers = signature_headers(signing_keys(secret), message_id=MESSAGE_ID, timestamp=TIMESTAMP, body=BODY)
    assert headers == {
        "webhook-id": MESSAGE_ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_two_secrets_sign_both() -> None:
    other = bytes(range(32))
    keys = signing_keys(f"{SECRET},whsec_{base64.b64encode(other).decode()}")
    headers = signature_headers(keys, message_id="msg_1", timestamp=5, body="ä".encode())
    expected = hmac.new(other, b"msg_1.5.\xc3\xa4", hashlib.sha256).digest()
    first, second = headers["webhook-signature"].split(" ")
    assert second == f"v1,{base64.b64encode(expected).decode()}"
    assert first != second


@pytest.mark.parametrize("length", [24, 25, 26, 32, 64])
def test_padding_may_be_left_out(length: int) -> None:
    key = bytes(range(length))
    padded = base64.b64encode(key).decode()
    assert signing_keys(padded) == signing_keys(padded.rstrip("=")) == (key,)


@pytest.mark.parametrize("secret", ["", " ", ","])
def test_nothing_is_no_key(secret: str) -> None:
    assert signing_keys(secret) == ()


@pytest.mark.parametrize(
    "secret",
    [
        "hunter2",
        "whsec_",
        "correct horse battery staple, or so",
        base64.b64encode(bytes(23)).decode(),
        base64.b64encode(bytes(65)).decode(),
        f"{SECRET},hunter2",
        "é" * 40,
    ],
)
def test_an_invalid_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 random bytes") as caught:
        signing_keys(secret)
    assert secret.removeprefix("whsec_") == "" or secret not in str(caught.value)
