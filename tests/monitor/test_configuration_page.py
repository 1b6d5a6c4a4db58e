"""The page of settings is that of their classes, and says every key with its meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.configuration_page import page
from monitor.settings import Settings

_PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_the_classes() -> None:
    assert _PAGE.read_text() == page(), "write it anew: python -m monitor.configuration_page > docs/configuration.md"


def test_every_key_has_a_meaning() -> None:
    for section in Settings.model_fields.values():
        fields = section.annotation.model_fields  # type: ignore[union-attr]
        assert all(field.description for field in fields.values())
        assert all(f"| `{key}` |" in page() for key in fields)


def test_the_page_does_not_depend_on_who_writes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_HOME", "/elsewhere")
    assert _PAGE.read_text() == page()
