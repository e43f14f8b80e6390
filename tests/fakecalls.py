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


def replied(monkeypatch, say):
    """The samples of each call of FakeEngine.reply from now on; `say(question, sample)` is the Reply to one."""
    calls = Calls()

    def reply(self, question, samples, on_batch):
        if calls.stop_at == len(calls):
            raise KeyboardInterrupt
        calls.append([(question.text, sample.instruction) for sample in samples])
        on_batch(len(samples), 0)
        return [say(question, sample) for sample in samples]

    monkeypatch.setattr(FakeEngine, "reply", reply)
    return calls
