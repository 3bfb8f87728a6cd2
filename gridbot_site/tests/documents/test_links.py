"""Every link, anchor and picture of the documents leads somewhere, and every page is led to."""

from __future__ import annotations

import re

import pytest

from gridbot_site.tests.documents.pages import MARKDOWN, ROOT, Link, Page, files, pages, slugs

HOST = re.compile(r"(?:[\w-]+\.)*[\w-]+(?::\d+)?")
PICTURES = ROOT / "docs" / "pictures"
MENTIONED = re.compile(r"\bdocs/[\w/-]+\.md\b(?:#[\w-]+)?")


@pytest.fixture(scope="module")
def known():
    """The files, and the folders that hold any."""
    found = files()
    return found | {folder for file in found for folder in file.parents if ROOT in folder.parents}


@pytest.fixture(params=pages(), ids=lambda page: page.name)
def page(request):
    return request.param


def wrong(page: Page, link: Link, known: set) -> str:
    """What is wrong with a link; nothing if it leads somewhere."""
    if link.is_outside:
        if link.parts.scheme == "mailto":
            return ""
        sound = link.parts.scheme in ("http", "https") and HOST.fullmatch(link.parts.netloc)
        return "" if sound else "is no address"
    target = page.file_of(link)
    if target not in known:
        return "leads to no file of the project"
    anchor = link.parts.fragment
    if anchor and (target.suffix != ".md" or anchor not in Page(target).anchors):
        return "leads to no heading"
    return ""


def test_every_link_leads_somewhere(page, known):
    found = [(link.line, link.target, wrong(page, link, known)) for link in page.links]
    assert [each for each in found if each[2]] == []


def test_nothing_was_meant_for_a_link_and_is_none(page):
    assert page.broken == []


def test_every_page_is_reached_from_the_readme_or_the_index():
    reached, ahead = set(), [ROOT / "README.md", ROOT / "docs" / "README.md"]
    every = {each.path: each for each in pages()}
    while ahead:
        path = ahead.pop()
        if path.is_dir():  # GitHub lists what is in a folder
            ahead += [each for each in every if each.parent == path and each not in reached]
        elif path in every and path not in reached:
            reached.add(path)
            inside = [link for link in every[path].links if not link.is_outside]
            ahead += [every[path].file_of(link) for link in inside]
    assert sorted(each.name for path, each in every.items() if path not in reached) == []


def test_every_picture_is_shown_somewhere():
    shown = {each.file_of(link) for each in pages() for link in each.links if not link.is_outside}
    pictures = {path for path in files() if PICTURES in path.parents}
    assert pictures
    assert sorted(path.name for path in pictures - shown) == []


def test_every_page_that_code_names_is_there(known):
    kinds = (".py", ".service", ".yml", ".toml")
    places = [path for path in known if path.suffix in kinds and "tests" not in path.parts]
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in [*places, ROOT / "Makefile", ROOT / ".env.example"]
        for name in MENTIONED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert sorted(
        (where, name)
        for where, name in named
        if wrong(Page(ROOT / "README.md"), Link(0, name), known)
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("headings", "expected"),
    [
        (["What happened at 14:03?"], ["what-happened-at-1403"]),
        (["One", "One", "One"], ["one", "one-1", "one-2"]),
        (["BUY, WAIT, SELL"], ["buy-wait-sell"]),
        (["A - b_c"], ["a---b_c"]),
    ],
)
def test_anchors_are_those_of_github(headings, expected):
    assert list(slugs(headings)) == expected


SAMPLE = """\
# A page

## `manage.py x` and [more](#a-page)

[there](other.md#one) ![a picture](pictures/x.png) `code` [none] [broken] (y)
[undefined][ref]
<picture><source srcset="pictures/dark.png 2x"><img src="pictures/y.png"></picture>

| a |
|---|
| [in a cell](cell.md) |

```
[no link](in-code.md) \\
  goes on
```
"""


def test_a_page_is_read_as_it_is_shown(tmp_path):
    (tmp_path / "page.md").write_text(SAMPLE, encoding="utf-8")
    page = Page(tmp_path / "page.md")
    assert page.anchors == {"a-page", "managepy-x-and-more"}
    assert [link.target for link in page.links] == [
        "#a-page", "other.md#one", "pictures/x.png", "pictures/dark.png", "pictures/y.png",
        "cell.md",
    ]  # fmt: skip
    assert page.broken == [5]
    assert [code for _, code in page.code] == [
        "manage.py x", "code", "[no link](in-code.md)    goes on",
    ]  # fmt: skip
    assert MARKDOWN.options["html"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("README.md", ""), ("docs", ""), ("docs/adr/", ""), ("docs/health.md#doctor", ""),
        ("#capture", ""), ("https://example.com/a?b#c", ""), ("mailto:someone@example.com", ""),
        ("docs/health.md#nowhere", "leads to no heading"), ("#nowhere", "leads to no heading"),
        ("docs/nowhere.md", "leads to no file of the project"),
        (".env", "leads to no file of the project"), ("../x", "leads to no file of the project"),
        ("https://", "is no address"), ("https://exa mple.com", "is no address"),
        ("ftp://example.com", "is no address"), ("//example.com", "is no address"),
    ],
)  # fmt: skip
def test_a_link_that_leads_nowhere_is_noticed(target, expected, known):
    assert wrong(Page(ROOT / "README.md"), Link(1, target), known) == expected
