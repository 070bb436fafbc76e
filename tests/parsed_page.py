"""An HTML page as tests look at it."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "rect", "line", "link", "path", "circle", "polyline", "polygon", "hr", "input"}


class Parsed(HTMLParser):
    """Words and attributes of a page; fails on tags that do not close, and on ids that come twice."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.ids = [value for _, name, value in self.attributes if name == "id"]
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag == "img":
            assert dict(attributes).get("alt"), "a picture without words for who cannot see it"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
