"""What a page without a script says, read from its HTML."""

from html.parser import HTMLParser

EMPTY = ("meta", "br", "hr", "link", "img", "input")


class Reader(HTMLParser):
    """Checks that every element is closed, in order; collects elements, ids, text, facts and tables by their labels."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.ids, self.text = [], [], [], []
        self.facts, self.tables = {}, {}
        self._name, self._rows, self._cell = "", [], None
        self.feed(page)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self._note(tag, dict(attrs))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def _note(self, tag, attrs):
        self.elements.append((tag, attrs))
        self.ids += [attrs["id"]] if "id" in attrs else []
        if attrs.get("role") == "region":
            self._name = attrs["aria-label"]
        if tag == "table":
            self._rows = self.tables.setdefault(self._name, [])
        if tag == "tr":
            self._rows.append([])
        if tag in ("th", "td", "dt", "dd"):
            self._cell = []
        if tag == "small":
            self._cell = None

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag
        if tag in ("th", "td"):
            self._rows[-1].append("".join(self._cell))
        if tag == "dt":
            self._name = "".join(self._cell)
        if tag in ("dt", "dd", "th", "td", "small"):
            self._cell = None

    def handle_data(self, data):
        self.text.append(data)
        if self._cell is not None:
            self._cell.append(data)
            if self.open[-1] == "dd":
                self.facts[self._name] = "".join(self._cell)

    @property
    def said(self):
        """All text."""
        return "".join(self.text)


def check_policy(page):
    """Nothing runs and nothing is fetched: no script, no style but the page's own, no source, no link elsewhere."""
    assert "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-" in page
    assert "unsafe" not in page.partition("<style>")[0] and "script-src" not in page
    reader = Reader(page)
    names = {tag for tag, _ in reader.elements}
    assert not names & {"script", "img", "iframe", "link", "object", "form", "input"}
    assert [tag for tag, _ in reader.elements].count("style") == 1
    attributes = {name for _, attrs in reader.elements for name in attrs}
    assert not attributes & {"src", "style", "srcdoc", "action"} and not [a for a in attributes if a.startswith("on")]
    return reader
