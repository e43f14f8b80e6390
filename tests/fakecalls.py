"""What the fake engine was asked, interrupting it, and other answers than its own."""

from selectit.engines.fake import FakeEngine


class Calls(list):
    """What `seen(engine, prompt, samples)` made of each call; `stop_at` interrupts at that one."""

    stop_at = None


def recorded(monkeypatch, seen):
    """The calls of FakeEngine from now on."""
    calls = Calls()
    original = FakeEngine.rate

    def rate(self, prompts, samples, on_batch):
        rated = []
        for prompt in prompts:
            if calls.stop_at == len(calls):
                raise KeyboardInterrupt
            calls.append(seen(self, prompt, samples))
            rated += original(self, [prompt], samples, on_batch)
        return rated

    monkeypatch.setattr(FakeEngine, "rate", rate)
    return calls


def rated_as(monkeypatch, change):
    """From now on FakeEngine's ratings are `change(batch, samples)` of its own."""
    original = FakeEngine.rate

    def rate(self, prompts, samples, on_batch):
        return [change(batch, samples) for batch in original(self, prompts, samples, on_batch)]

    monkeypatch.setattr(FakeEngine, "rate", rate)


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
