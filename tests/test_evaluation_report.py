"""A report is well-formed, escapes what it is given and loads nothing from elsewhere."""

from html.parser import HTMLParser

from fidip.evaluation.report import Picture, Section, Table, to_html, to_markdown

HOSTILE = "<script>alert('x')</script> & \"quoted\""


class Reader(HTMLParser):
    """Collects tags, addresses and text, and checks that tags close in order."""

    VOID = ("meta", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.sources, self.texts = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page() -> str:
    table = Table(("network", "AP"), (("source", "6.5"), (HOSTILE, "54.0")), "By box area.", frozenset({1}))
    picture = Picture(b"\x89PNG", f"a picture of {HOSTILE}", "Its caption.")
    return to_html(HOSTILE, "What it is.", [Section("Results", ["Text.", table, picture])], {"seed": "0"})


def test_report_is_well_formed_and_self_contained():
    reader = Reader()
    reader.feed(page())
    assert reader.open == []
    assert "script" not in reader.tags
    assert reader.sources == ["data:image/png;base64,iVBORw=="]
    assert "http" not in page().replace("http-equiv", "")
    assert reader.texts.count(HOSTILE) == 3  # title, heading, table
    for text in ("What it is.", "By box area.", "Its caption.", "54.0", "seed"):
        assert text in reader.texts


def test_markdown_table_has_a_row_a_line():
    table = Table(("a|b", "AP"), (("x", "1"), ("y", "2")), "Caption.", frozenset({1}))
    assert to_markdown(table) == "Caption.\n\n| a\\|b | AP |\n| --- | ---: |\n| x | 1 |\n| **y** | **2** |\n"
