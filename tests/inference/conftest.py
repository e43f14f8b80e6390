"""A server that runs may rate with."""

import pytest


@pytest.fixture
def stub(monkeypatch):
    """A running stub that asks for a key, which the environment has."""
    from stub_server import KEY, serving

    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SELECTIT_API_KEY", KEY)
    with serving() as made:
        made.key = KEY
        yield made
