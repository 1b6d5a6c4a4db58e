"""Pseudonyms are what the documented recipe gives, in the form of a patient id, and a bad key is one line."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.messages import Observation
from monitor.errors import Failure
from monitor.pseudonyms import Pseudonyms, load_key

_DIGITS = "0b" * 32
_PAGE = Path(__file__).parents[2] / "docs" / "privacy.md"


def _key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "pseudonym.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_recipe_is_hmac_sha_256() -> None:
    """RFC 4231, test cases 1 and 2."""
    assert Pseudonyms(b"\x0b" * 20).of("Hi There") == "b0344c61d8db38535ca8afceaf0bf12b"
    assert Pseudonyms(b"Jefe").of("what do ya want for nothing?") == "5bdcc146bf60754e6a042426089575c7"


def test_the_example_of_the_page_is_right(tmp_path: Path) -> None:
    (example,) = re.findall(r"`MRN-0042` under the key `((?:0b){32})` is `([0-9a-f]{32})`", _PAGE.read_text())
    assert Pseudonyms(load_key(_key_file(tmp_path, example[0] + "\n"))).of("MRN-0042") == example[1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_openssl_gives_the_same() -> None:
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{_DIGITS}", "-r"]
    said = subprocess.run(command, input="Müller-7".encode(), capture_output=True, check=True).stdout.decode()
    assert said[:32] == Pseudonyms(bytes.fromhex(_DIGITS)).of("Müller-7")


@given(st.text(max_size=200))
def test_a_pseudonym_is_a_patient_id_and_tells_nothing_of_the_length(patient: str) -> None:
    pseudonym = Pseudonyms(b"k" * 32).of(patient)
    assert re.fullmatch(r"[0-9a-f]{32}", pseudonym)
    said = msgspec.json.encode({"patient_id": pseudonym, "time": "2026-11-22T10:00:07Z", "heart_rate": 96})
    assert msgspec.json.decode(said, type=Observation).patient_id == pseudonym


def test_another_key_gives_another_pseudonym() -> None:
    assert Pseudonyms(b"k" * 32).of("7") != Pseudonyms(b"l" * 32).of("7")
    assert Pseudonyms(b"k" * 32).of("7") != Pseudonyms(b"k" * 32).of("07")


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("", 0o600, "64 hexadecimal digits"),
        ("0b" * 31, 0o600, "64 hexadecimal digits"),
        ("correct horse battery staple, correct horse battery staple, again", 0o600, "64 hexadecimal digits"),
        (_DIGITS, 0o604, "open to every user"),
        (_DIGITS, 0o602, "open to every user"),
        ("ä", 0o600, "it is not text"),
    ],
)
def test_a_bad_key_is_one_line_without_its_content(tmp_path: Path, text: str, mode: int, expected: str) -> None:
    with pytest.raises(Failure, match=expected) as failed:
        load_key(_key_file(tmp_path, text, mode))
    assert text not in str(failed.value) or not text


def test_a_key_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        load_key(tmp_path / "none.key")


def test_a_key_shows_nowhere() -> None:
    assert repr(Pseudonyms(b"k" * 32)) == "Pseudonyms()"
