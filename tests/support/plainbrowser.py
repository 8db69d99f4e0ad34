"""A browser without JavaScript: it loads pages, follows links and sends forms as they stand."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Final, Self
from urllib.parse import urlencode, urljoin

import httpx2

VOID: Final = frozenset(
    {"br", "hr", "img", "input", "link", "meta", "rect", "circle", "path", "use"}
)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a person reads, blanks folded."""
        return " ".join(self._raw().split())

    def _raw(self) -> str:
        return "".join(each if isinstance(each, str) else each._raw() for each in self.children)

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        """Elements within, in order; data_x stands for data-x, class_ for class."""
        wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = []
        for each in self.children:
            if isinstance(each, Element):
                fits = all(each.attributes.get(name) == value for name, value in wanted.items())
                if each.tag == tag and fits:
                    found.append(each)
                found += each.all(tag, **attributes)
        return found

    def one(self, tag: str, **attributes: str) -> "Element":
        """The first. Raises AssertionError if there is none."""
        found = self.all(tag, **attributes)
        assert found, f"no <{tag}> with {attributes} on this page:\n{self.text[:2_000]}"
        return found[0]

    def has_class(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.now = Element("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.now)
        self.now.children.append(element)
        if tag not in VOID:
            self.now = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.now.children.append(Element(tag, {n: v or "" for n, v in attrs}, self.now))

    def handle_endtag(self, tag: str) -> None:
        element: Element | None = self.now
        while element is not None and element.tag != tag:
            element = element.parent
        if element is not None and element.parent is not None:
            self.now = element.parent

    def handle_data(self, data: str) -> None:
        self.now.children.append(data)


@dataclass
class Page:
    url: str
    """After redirects, path and query."""
    status: int
    headers: httpx2.Headers
    source: str
    root: Element

    @property
    def text(self) -> str:
        return self.root.one("main").text

    def link(self, text: str) -> str:
        """Address of the link with these words. Raises AssertionError."""
        found = [each for each in self.root.all("a") if each.text == text]
        assert found, f"no link {text!r} on this page:\n{self.text[:2_000]}"
        return found[0].attributes["href"]

    def form(self, action: str) -> Element:
        return self.root.one("form", action=action)


class PlainBrowser:
    def __init__(self, address: str, headers: dict[str, str] | None = None):
        """address: HOST:PORT. headers: sent with everything."""
        base = f"http://{address}"
        # What a browser says of a form of the same site; without it the daemon refuses to act.
        says = {"Origin": base, "Sec-Fetch-Site": "same-origin", **(headers or {})}
        self._http = httpx2.Client(base_url=base, headers=says, timeout=15)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def get(self, address: str) -> Page:
        return self._page(self._http.get(address, follow_redirects=True))

    def submit(self, page: Page, form: Element, button: str = "", **changed: Any) -> Page:
        """Send a form of the page by the button with these words ("" = the first one), some fields
        changed: None = not sent (a box that is not ticked), a list = sent several times."""
        fields = [each for each in _fields(form) if each[0] not in changed]
        for name, value in changed.items():
            values = value if isinstance(value, list) else [] if value is None else [value]
            fields += [(name, each) for each in values]
        buttons = [each for each in form.all("button") if not button or each.text == button]
        assert buttons, f"no button {button!r} in the form"
        pressed = buttons[0].attributes
        if "name" in pressed:
            fields.append((pressed["name"], pressed.get("value", "")))
        action = pressed.get("formaction") or form.attributes["action"]
        target = urljoin(page.url, action)
        if form.attributes.get("method", "get").lower() == "get":
            return self.get(f"{target}?{urlencode(fields)}")
        answer = self._http.post(
            target,
            content=urlencode(fields),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            follow_redirects=True,
        )
        return self._page(answer)

    def _page(self, answer: httpx2.Response) -> Page:
        parser = _Parser()
        parser.feed(answer.text)
        url = answer.url.raw_path.decode()
        return Page(url, answer.status_code, answer.headers, answer.text, parser.root)


def _fields(form: Element) -> list[tuple[str, str]]:
    """What a browser would send: boxes only when they are ticked."""
    found = []
    for each in form.all("input"):
        kind = each.attributes.get("type", "text")
        is_off = kind in ("checkbox", "radio") and "checked" not in each.attributes
        if "name" in each.attributes and not is_off and kind != "submit":
            found.append((each.attributes["name"], each.attributes.get("value", "")))
    # As HTML has it, a line break right behind the tag is none of the text.
    areas = form.all("textarea")
    found += [(each.attributes["name"], each._raw().removeprefix("\n")) for each in areas]
    for each in form.all("select"):
        options = each.all("option")
        chosen = [one for one in options if "selected" in one.attributes] or options[:1]
        found += [(each.attributes["name"], one.attributes["value"]) for one in chosen]
    return found
