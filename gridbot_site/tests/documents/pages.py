"""Pages of Markdown: their anchors, what they link to, and what stands in them as code.

They are read by CommonMark with tables, as GitHub shows them (https://github.github.com/gfm/).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from itertools import pairwise
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

import gridbot_site

ROOT = Path(gridbot_site.__file__).parent.parent
MARKDOWN = MarkdownIt("commonmark").enable("table")
HTML_LINK = re.compile(r"""\b(?:href|src|srcset)\s*=\s*["']([^"']*)["']""", re.IGNORECASE)
HTML_ANCHOR = re.compile(r"""\b(?:id|name)\s*=\s*["']([^"']*)["']""", re.IGNORECASE)
# A link that is none, because nothing is defined under its name or there is a blank in it.
BROKEN = re.compile(r"\]\(|\]\[")


@dataclass(frozen=True)
class Link:
    """What a page refers to, near which line."""

    line: int
    target: str

    @property
    def parts(self) -> SplitResult:
        """The target, taken apart."""
        return urlsplit(self.target)

    @property
    def is_outside(self) -> bool:
        """Whether it leaves the project."""
        return bool(self.parts.scheme or self.parts.netloc)


@dataclass(frozen=True)
class Page:
    """A page of Markdown."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the root of the project."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def anchors(self) -> set[str]:
        """Where links can lead to within it."""
        found = list(slugs(_headings(self._blocks)))
        for token in self._tokens:
            if token.type in ("html_inline", "html_block"):
                found += HTML_ANCHOR.findall(token.content)
        return set(found)

    @cached_property
    def links(self) -> list[Link]:
        """Links and pictures, those of plain HTML too."""
        found = []
        for line, token in self._placed:
            if token.type == "link_open":
                found.append(Link(line, str(token.attrs["href"])))
            elif token.type == "image":
                found.append(Link(line, str(token.attrs["src"])))
            elif token.type in ("html_inline", "html_block"):
                targets = HTML_LINK.findall(token.content)
                found += [Link(line, unescape(each.split()[0])) for each in targets if each.strip()]
        return found

    @cached_property
    def broken(self) -> list[int]:
        """Lines where something was meant for a link."""
        texts = ((line, token) for line, token in self._placed if token.type == "text")
        return [line for line, token in texts if BROKEN.search(token.content)]

    @cached_property
    def code(self) -> list[tuple[int, str]]:
        """Each line of a block of code, and each piece of code within a sentence."""
        found = []
        for line, token in self._placed:
            if token.type == "code_inline":
                found.append((line, token.content))
            elif token.type in ("fence", "code_block"):
                # A line that ends with a backslash goes on in the next.
                whole = token.content.replace("\\\n", " ")
                found += [(line, each) for each in whole.splitlines()]
        return found

    def file_of(self, link: Link) -> Path:
        """The file or folder that a link within the project leads to."""
        path = unquote(link.parts.path)
        return (self.path.parent / path).resolve() if path else self.path

    @cached_property
    def _blocks(self) -> list[Token]:
        return MARKDOWN.parse(self.text)

    @property
    def _placed(self) -> Iterator[tuple[int, Token]]:
        """Every token, with the line that its block begins at."""
        for block in self._blocks:
            line = block.map[0] + 1 if block.map else 0
            for token in block.children or [block]:
                yield line, token

    @property
    def _tokens(self) -> Iterator[Token]:
        return (token for _, token in self._placed)


def slugs(headings: Iterable[str]) -> Iterator[str]:
    """The anchors that GitHub gives to headings of one page, in their order.

    In lower case, with hyphens for blanks and without punctuation; the second of a name gets -1.
    (https://docs.github.com/en/get-started/writing-on-github, "Section links")
    """
    seen: dict[str, int] = {}
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        yield f"{slug}-{count}" if count else slug


def _headings(blocks: list[Token]) -> Iterator[str]:
    """The text of each, without marks."""
    for opening, inline in pairwise(blocks):
        if opening.type == "heading_open":
            yield "".join(
                token.content
                for token in inline.children or []
                if token.type in ("text", "code_inline")
            )


def files() -> set[Path]:
    """The files of the project, as a clone would have them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()}


def pages() -> list[Page]:
    """The pages that are for users and developers."""
    own = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"]
    docs = [path for path in files() if path.suffix == ".md" and ROOT / "docs" in path.parents]
    return [Page(path) for path in [*own, *sorted(docs)]]
