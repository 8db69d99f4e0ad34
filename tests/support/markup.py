"""What a page is made of, as its HTML says: to find what no template of ours has put there."""

import re
from html.parser import HTMLParser
from typing import Final

_ADDRESSES: Final = frozenset(
    {"href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect", "xlink:href"}
)
_OURS: Final = re.compile(r"(/(?![/\\])|[?#]|$|data:image/)")
"""How an address of this port begins."""


class Markup(HTMLParser):
    """Attributes:
    made_of: pairs of element and attribute ("" = the element itself).
    texts: all text, and the values of all attributes.
    wrong: what must be on no page whatever it shows: code and style that is not a file of ours, an
        address that is elsewhere.
    """

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.made_of: set[tuple[str, str]] = set()
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.made_of.add((tag, ""))
        for name, value in attrs:
            self.made_of.add((tag, name))
            self.texts.append(value or "")
            self._judge(tag, name, value or "")
        if tag == "style" or (tag == "script" and not dict(attrs).get("src")):
            self.wrong.append(f"<{tag}> inline")

    def _judge(self, tag: str, name: str, value: str) -> None:
        is_code = name.startswith(("on", "hx-on", "hx-vals", "hx-headers")) or name == "srcdoc"
        is_elsewhere = name in _ADDRESSES and not _OURS.match(value)
        if is_code or name == "style" or is_elsewhere or value.startswith("js:"):
            self.wrong.append(f"<{tag} {name}={value[:80]!r}>")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!--{data[:80]}-->")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"<?{data[:80]}>")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"<![{data[:80]}]>")
