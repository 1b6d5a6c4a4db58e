"""A client's key that cannot be used is one line that names the setting; nobody is asked for a password."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.client_key import check_client_key
from monitor.errors import Failure

_PASSWORD, _WRONG = "of-this-key", "of-another-key"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two certificates, their keys, and the first key encrypted."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl for certificates: install the package openssl")
    found = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        request = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        _openssl(found, request)
    _openssl(found, f"rsa -aes256 -in own.key -out locked.key -passout pass:{_PASSWORD}")
    (found / "no.key").write_text("nothing of the kind\n")
    return found


def _openssl(folder: Path, words: str) -> None:
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(("key", "password"), [("own.key", None), ("own.key", _WRONG), ("locked.key", _PASSWORD)])
def test_a_key_that_fits_is_taken(folder: Path, key: str, password: str | None) -> None:
    check_client_key(str(folder / "own.pem"), str(folder / key), password, "kafka.ssl_password")


@pytest.mark.parametrize(
    ("key", "password", "expected"),
    [
        ("locked.key", None, r"kafka\.ssl_keyfile names .*locked\.key, which is encrypted: set kafka\.ssl_password or"),
        ("locked.key", _WRONG, r"kafka\.ssl_password_file does not open the key .*locked\.key"),
        ("other.key", None, r"kafka\.ssl_keyfile names .*other\.key, which is not the key of .*own\.pem"),
        ("no.key", None, r"kafka\.ssl_certfile .*own\.pem and kafka\.ssl_keyfile .*no\.key cannot be used"),
    ],
)
def test_a_key_that_does_not_fit_names_the_setting(folder: Path, key: str, password: str | None, expected: str) -> None:
    with pytest.raises(Failure, match=expected) as caught:
        check_client_key(str(folder / "own.pem"), str(folder / key), password, "kafka.ssl_password_file")
    assert _WRONG not in str(caught.value)


@pytest.mark.parametrize("words", [("serve",), ("topics", "list"), ("alerts",)])
def test_a_program_ends_before_it_asks_a_broker(folder: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    said = {
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "KAFKA__SECURITY_PROTOCOL": "SSL",
        "KAFKA__SSL_CERTFILE": str(folder / "own.pem"),
        "KAFKA__SSL_KEYFILE": str(folder / "locked.key"),
        "KAFKA__SSL_PASSWORD": _WRONG,
        "WORKER__DATA_DIR": str(tmp_path),
        "HTTP__PORT": "0",
    }
    environment = {f"SEPSIS_MONITOR_{name}": value for name, value in said.items()}
    ended = CliRunner().invoke(main, list(words), env=environment)
    assert ended.exit_code == 1
    assert "kafka.ssl_password does not open the key" in ended.output.splitlines()[-1]
    assert _WRONG not in ended.output
    assert "cluster_unavailable" not in ended.output
