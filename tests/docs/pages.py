"""The documentation as data: pages, code blocks, commands in them, headings, links, paths."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            page
            for folder in ("docs", "netsim", "csrc", "tests", "benchmarks", "examples")
            for page in (ROOT / folder).rglob("*.md")
        ),
    ]
)
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
TREES = ("csrc", "netsim", "tests", "docs", "examples", "scripts", "benchmarks", ".ci")
PROMPT = re.compile(r"^[$#] ")
ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


class Block(NamedTuple):
    """A fenced block: its language ("" for none) and its text without indentation."""

    language: str
    text: str


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[Block]:
    """Fenced blocks, of some languages if any are named."""
    found = []
    for match in FENCE.finditer(page.read_text()):
        indent = len(match[0]) - len(match[0].lstrip(" "))
        lines = (line[indent:] for line in match[2].splitlines())
        found.append(Block(match[1], "\n".join(lines) + "\n"))
    return [block for block in found if not languages or block.language in languages]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """Inline code."""
    return SPAN.findall(prose(page))


def section(page: Path, heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    level = heading.split(" ", 1)[0]
    _, found, rest = page.read_text().partition(f"\n{heading}\n")
    assert found, f"{page_id(page)} has no {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the lines of tables."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip() for cell in line] for line in cells]


def anchors(page: Path) -> set[str]:
    """What `#` may name, as code hosts make it of headings."""
    names = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {name.replace(" ", "-") for name in names}


def links(page: Path) -> list[str]:
    """Relative links."""
    return [link for link in LINK.findall(prose(page)) if not link.startswith(("http", "mailto"))]


def paths(page: Path) -> list[str]:
    """Paths of the tree in inline code."""
    found = (span.split()[0] for span in spans(page))
    return [path for path in found if path.startswith(tuple(f"{tree}/" for tree in TREES))]


def netsim_commands(page: Path) -> list[list[str]]:
    """Arguments of every `netsim ...` in consoles, scripts and inline code."""
    found = [words for line in _lines(page) for words in _simple_commands(line)]
    return [words[1:] for words in found if words[0] == "netsim"]


def _lines(page: Path) -> Iterator[str]:
    for block in blocks(page, "console", "sh"):
        for line in re.sub(r"\\\n *", "", block.text).splitlines():
            if block.language == "sh":
                yield line
            elif PROMPT.match(line):
                yield PROMPT.sub("", line)
    yield from (span for span in spans(page) if span.startswith("netsim "))


def _simple_commands(line: str) -> Iterator[list[str]]:
    """Words of a line between shell operators, without variables and sudo in front."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if words:
                yield words
            words = []
        elif words or not (ASSIGNMENT.fullmatch(word) or word in ("sudo", "time")):
            words.append(word)
