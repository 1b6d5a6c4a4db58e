"""Signatures against the published example of the specification, and against OpenSSL."""

from __future__ import annotations

import base64
import shutil
import subprocess

import pytest

from monitor.notify.signing import signed_headers


def test_the_published_example() -> None:
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', [b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], 1614265330
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_another_implementation_agrees() -> None:
    headers = signed_headers("e", b"body", [b"plain secret of the ward"], 17)
    found = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", "plain secret of the ward", "-binary"],
        input=b"e.17.body",
        capture_output=True,
        check=True,
    )
    assert headers["webhook-signature"] == "v1," + base64.b64encode(found.stdout).decode()


def test_while_a_secret_is_changed_both_sign() -> None:
    one, two = (signed_headers("e", b"b", [secret], 1)["webhook-signature"] for secret in (b"first", b"second"))
    assert signed_headers("e", b"b", [b"second", b"first"], 1)["webhook-signature"] == f"{two} {one}"
