"""When certificates expire, as openssl makes them and as openssl reads them."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor.catalogue import CERTIFICATE_EXPIRY
from monitor.certificates import expiries, first_expiry, show_expiries
from monitor.sections import KafkaSettings


def openssl(folder: Path, *words: str) -> str:
    return subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def certify(folder: Path, name: str, days: int, *, key: str = "ec") -> Path:
    """Make a certificate that signs itself; not one of an authority's, as a client's is not."""
    kind = ["-newkey", "rsa:2048"] if key == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    openssl(folder, "req", "-x509", *kind, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days",
            str(days), "-subj", f"/O=A hospital/CN={name}", "-addext", "basicConstraints=CA:FALSE")  # fmt: skip
    return folder / f"{name}.pem"


def as_openssl_says(file: Path) -> float:
    text = openssl(file.parent, "x509", "-in", str(file), "-noout", "-enddate").strip().removeprefix("notAfter=")
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("days", "key"), [(1, "ec"), (30, "rsa"), (20_000, "ec")])
def test_it_is_what_openssl_says(tmp_path: Path, days: int, key: str) -> None:
    file = certify(tmp_path, "client", days, key=key)
    assert first_expiry(file) == as_openssl_says(file)
    assert first_expiry(file) == pytest.approx((datetime.now(UTC) + timedelta(days=days)).timestamp(), abs=120)


def test_of_several_the_first_to_expire_counts_and_text_between_them_does_not(tmp_path: Path) -> None:
    old, new = certify(tmp_path, "old", 10), certify(tmp_path, "new", 400)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(
        f"# authorities\n{new.read_text()}# that one goes\n{old.read_text()}{(tmp_path / 'old.key').read_text()}"
    )
    assert first_expiry(bundle) == as_openssl_says(old)


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    sound = certify(tmp_path, "client", 10)
    whole = base64.b64decode("".join(sound.read_text().splitlines()[1:-1]))
    for content in (b"", b"\x30", whole[:-1], whole[:60], b"\x02" + whole[1:], whole[:4] + b"\x02" + whole[5:]):
        file = tmp_path / "spoilt.pem"
        block = base64.encodebytes(content).decode()
        file.write_text(f"-----BEGIN CERTIFICATE-----\n{block}\n-----END CERTIFICATE-----\n")
        with pytest.raises(ValueError, match="certificate"):
            first_expiry(file)
    file.write_text("nothing of the kind")
    with pytest.raises(ValueError, match="there is no certificate in it"):
        first_expiry(file)


def test_only_what_is_in_use_is_shown(tmp_path: Path) -> None:
    client, authority = certify(tmp_path, "client", 10), certify(tmp_path, "ca", 100)
    kafka = KafkaSettings(
        security_protocol="SSL", ssl_certfile=client, ssl_keyfile=tmp_path / "client.key", ssl_cafile=authority
    )
    assert expiries(kafka) == {"client": as_openssl_says(client), "ca": as_openssl_says(authority)}
    assert expiries(KafkaSettings(security_protocol="SSL", ssl_cafile=authority)) == {"ca": as_openssl_says(authority)}
    assert expiries(kafka.model_copy(update={"security_protocol": "PLAINTEXT"})) == {}
    registry = CollectorRegistry()
    show_expiries(registry, kafka)
    assert registry.get_sample_value(CERTIFICATE_EXPIRY.name, {"file": "client"}) == as_openssl_says(client)


def test_a_file_that_cannot_be_read_is_told_of_and_stops_nothing(tmp_path: Path) -> None:
    spoilt = tmp_path / "ca.pem"
    spoilt.write_text("no certificate")
    with capture_logs() as lines:
        assert expiries(KafkaSettings(security_protocol="SSL", ssl_cafile=spoilt)) == {}
        assert expiries(KafkaSettings(security_protocol="SSL", ssl_cafile=tmp_path / "none.pem")) == {}
    assert [line["event"] for line in lines] == ["certificate_not_read"] * 2
