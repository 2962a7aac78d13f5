"""Makes a site of what GitHub shows: a hook of mkdocs, run by `./docs/build`.

Pages are written to be read in the repository: they lie where they belong (README.md, SECURITY.md at the top), link to each
other and to sources by their places in it, and mark what the tests run behind the fence. Here the files outside docs/
become pages, links are turned to where their targets are in the site, and folders in the navigation into lists of pages.
Links are not checked here: what leads nowhere is left as it is, and mkdocs, which is strict, ends with it.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mkdocs.structure.files import File, Files
from reference import FOLDER, order, pages

import mpreg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

# mkdocs counts what comes here; it is strict.
log: Final = logging.getLogger("mkdocs.hooks.mpreg")
ROOT: Final = Path(__file__).parents[2]
DOCS: Final = "docs"
# Pages that lie outside docs/, and what they are in the site.
OUTSIDE: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
STYLE: Final = "assets/mpreg.css"
# Where a value is kept in a class is nobody's business.
HIDDEN: Final = ".doc-label-class-attribute, .doc-label-instance-attribute, .doc-label-dataclass { display: none }\n"
LANGUAGES: Final = {".py": "python", ".rs": "rust", ".toml": "toml", ".sh": "sh", ".yaml": "yaml", ".yml": "yaml"}
# An image is a link, too.
LINK: Final = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
FENCE: Final = re.compile(r"^(?P<bar>```+)(?P<language>\w*)[^\n]*\n.*?^(?P=bar)$", re.DOTALL | re.MULTILINE)
OPENING: Final = re.compile(r"^(```+\w+) (?:file=(\S+)|[^\n{]*)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not in docs/, and lists the folders of the navigation."""
    _check_that_the_code_is_this_one()
    for path, uri in OUTSIDE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for uri, text in pages().items():
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, STYLE, content=HIDDEN))
    for path in sorted(_sources_named(files)):
        files.append(File.generated(config, _site_of(path), content=_source_page(path)))
    # Sources are reached by the links to them.
    named = {uri for uri in _named(config.nav) if not uri.endswith("/")}
    config.nav = _listed(config.nav, files, named)
    return files


def _check_that_the_code_is_this_one() -> None:
    """The reference asks the mpreg that is installed."""
    installed = Path(mpreg.__file__).parent
    for path in sorted((ROOT / "python/mpreg").rglob("*.py")):
        twin = installed / path.relative_to(ROOT / "python/mpreg")
        if not twin.is_file() or twin.read_bytes() != path.read_bytes():
            log.warning("%s is not that of this clone: pip install . and build again", twin)
            return


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links by places in the site, fences without the words for the tests."""
    here = _repository_of(page.file.src_uri)
    if here is None:
        return markdown
    return _outside_fences(markdown, lambda text: LINK.sub(lambda link: _turned(link, here, page.file.src_uri), text))


def _turned(link: re.Match[str], here: str, uri: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[2]))
    if not (ROOT / target).exists():
        return link[0]
    return link[1] + posixpath.relpath(_site_of(target), posixpath.dirname(uri) or ".") + link[3]


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    parts: list[str] = []
    end = 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), OPENING.sub(_opening, fence[0], count=1)]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])


def _opening(fence: re.Match[str]) -> str:
    return f'{fence[1]} title="{fence[2]}"' if fence[2] else fence[1]


def _site_of(path: str) -> str:
    """Where a file or folder of the repository is in the site."""
    inside = path.removeprefix(f"{DOCS}/")
    if path in OUTSIDE:
        return OUTSIDE[path]
    if inside == path:
        return f"source/{path}.md"
    return f"{inside}/README.md" if (ROOT / path).is_dir() else inside


def _repository_of(uri: str) -> str | None:
    """The file that a page was written in; None for what is generated."""
    outside = next((path for path, other in OUTSIDE.items() if other == uri), None)
    inside = f"{DOCS}/{uri}"
    return outside or (inside if (ROOT / inside).is_file() else None)


def _sources_named(files: Files) -> Iterator[str]:
    """Files of the repository that pages link to and that are no pages themselves."""
    found: set[str] = set()
    for file in files.documentation_pages():
        here = _repository_of(file.src_uri)
        if here is None:
            continue
        text = FENCE.sub("", (ROOT / here).read_text())
        for link in LINK.finditer(text):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[2]))
            if (ROOT / target).exists() and _site_of(target).startswith("source/"):
                found.add(target)
    for path in list(found):
        if (ROOT / path).is_dir():
            found |= {f"{path}/{name}" for name in _files_in(path)}
    yield from found


def _source_page(path: str) -> str:
    if (ROOT / path).is_dir():
        rows = [f"- [{name}]({posixpath.basename(path)}/{name}.md)" for name in _files_in(path)]
        return f"# `{path}`\n\n" + "\n".join(rows) + "\n"
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# `{path}`\n\n````{language}\n{(ROOT / path).read_text()}````\n"


def _files_in(path: str) -> list[str]:
    return sorted(each.name for each in os.scandir(ROOT / path) if each.is_file() and not each.name.startswith("."))


def _named(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for item in nav.values():
            yield from _named(item)
    elif isinstance(nav, list):
        for item in nav:
            yield from _named(item)


def _listed(nav: Any, files: Files, named: set[str]) -> Any:
    """The navigation with folders replaced by their pages, but for those that it names elsewhere."""
    if isinstance(nav, dict):
        return {title: _pages_of(item, files, named) if _is_folder(item) else _listed(item, files, named)
                for title, item in nav.items()}  # fmt: skip
    if isinstance(nav, list):
        listed = [_pages_of(item, files, named) if _is_folder(item) else [_listed(item, files, named)] for item in nav]
        return [item for items in listed for item in items]
    return nav


def _is_folder(item: Any) -> bool:
    return isinstance(item, str) and item.endswith("/")


def _pages_of(folder: str, files: Files, named: set[str]) -> list[str]:
    there = {file.src_uri for file in files.documentation_pages() if posixpath.dirname(file.src_uri) + "/" == folder}
    index = f"{folder}README.md"
    links = LINK.finditer(FENCE.sub("", (ROOT / DOCS / index).read_text()))
    first = [
        index,
        *(posixpath.normpath(folder + link[2]) for link in links),
        *(order() if folder == f"{FOLDER}/" else ()),
    ]
    known = [uri for uri in dict.fromkeys(first) if uri in there]
    return [uri for uri in (*known, *sorted(there.difference(known))) if uri not in named]
