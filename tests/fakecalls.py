"""What the fake engine was asked, and interrupting it."""

from selectit.engines.fake import FakeEngine


class Calls(list):
    """What `seen(engine, prompt, samples)` made of each call; `stop_at` interrupts at that one."""

    stop_at = None


def recorded(monkeypatch, seen):
    """The calls of FakeEngine from now on."""
    calls = Calls()
    original = FakeEngine._rate

    def rate(self, prompt, samples, on_batch):
        if calls.stop_at == len(calls):
            raise KeyboardInterrupt
        calls.append(seen(self, prompt, samples))
        return original(self, prompt, samples, on_batch)

    monkeypatch.setattr(FakeEngine, "_rate", rate)
    return calls
