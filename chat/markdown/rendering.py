"""Renders Markdown as HTML that is safe to show: no raw HTML, images, scripts or inline styles."""

import re
from collections.abc import MutableMapping
from html import escape, unescape
from typing import Any

import nh3
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt

from chat.markdown import code, formulas, invisible, links, mathml, nesting, tables, task_lists
from chat.markdown.kept_html import KeptHtml

TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "hr", "li", "ol", "p", "pre", "s", "span", "strong", "ul"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr", "input"),
    *mathml.ELEMENTS,
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "code": {"class"},
    "span": {"class"},
    "ol": {"start"},
    "td": {"class"},
    "th": {"class"},
    "input": {"checked", "disabled", "aria-label"},
    **mathml.ELEMENTS,
}
CLASSES = {
    "code": re.compile(r"language-[A-Za-z0-9_+#-]{1,30}|formula"),
    "span": re.compile(r"[a-z][a-z0-9]{0,3}"),
    "td": re.compile(r"align-(?:left|center|right)"),
    "th": re.compile(r"align-(?:left|center|right)"),
    "mtd": mathml.CLASSES,
}
LONGEST = 40_000
"""Characters that are read as Markdown; what follows is shown as plain text."""
MISLEADING = re.compile("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069]")
"""Tag characters and direction controls, which make text look different from what is stored."""


def render(text: str) -> str:
    """Sanitised HTML. Code is coloured by classes of Pygments; nothing needs inline style."""
    return _kept.get(text, "shown", lambda: MISLEADING.sub("", _html(MISLEADING.sub("", text), shows_targets=False)))


def render_for_judging(text: str) -> str:
    """The same for people who judge a text: invisible characters are marked, and targets stand beside their links."""
    return _kept.get(text, "judged", lambda: _for_judging(text))


def _for_judging(text: str) -> str:
    html = _html(text, shows_targets=True)
    shows_nothing = not unescape(nh3.clean(html, tags=set())).strip() and text.strip()
    return invisible.marked(f"<pre><code>{escape(text)}</code></pre>" if shows_nothing else html)


def _html(text: str, *, shows_targets: bool) -> str:
    read, rest = _parted(text)
    html = nh3.clean(
        _markdown.render(read, {links.SHOWS_TARGETS: shows_targets}),
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_filter,
        url_schemes=links.SCHEMES,
        link_rel="nofollow noopener",
        set_tag_attribute_values={"a": {"target": "_blank"}, "input": {"type": "checkbox"}},
        clean_content_tags={"script", "style"},
    )
    return html + (_plain(rest) if rest.strip() else "")


def _parted(text: str) -> tuple[str, str]:
    """The text up to the last line that is read as Markdown, and what follows."""
    if len(text) <= LONGEST:
        return text, ""
    end = text.rfind("\n", LONGEST // 2, LONGEST) + 1 or LONGEST
    return text[:end], text[end:]


def _plain(rest: str) -> str:
    more = _("More: %(count)s characters, as plain text") % {"count": f"{len(rest):,}"}
    return f'<details class="rest"><summary>{escape(more)}</summary><pre>{escape(rest)}</pre></details>\n'


def _filter(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "class":
        return value if CLASSES[tag].fullmatch(value) else None
    if attribute == "href":
        return value if links.ADDRESS.match(value) else None
    return value


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """Another address is shown as it was written, and is no link."""
        return bool(links.ADDRESS.match(url))


def _without_images(_renderer: Any, tokens: Any, index: int, _options: Any, _env: MutableMapping[str, Any]) -> str:
    """An image becomes its description, so that the reader's browser loads nothing."""
    token = tokens[index]
    return escape(token.content or str(token.attrs["src"]))


_kept = KeptHtml()
_markdown = _Markdown("commonmark", {"html": False, "breaks": True, "highlight": code.coloured})
_markdown.enable(["table", "strikethrough"])
_markdown.disable("reference")  # a definition would vanish from the text
_markdown.add_render_rule("image", _without_images)
code.extend(_markdown)
formulas.extend(_markdown)
links.extend(_markdown)
nesting.extend(_markdown)
tables.extend(_markdown)
task_lists.extend(_markdown)
