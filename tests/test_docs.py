"""The documentation: code in pages runs, links lead somewhere, notebooks execute.

What looks at built pages is skipped unless `make docs` has built them, as `make test` does first.
"""

import ast
import doctest
import html.parser
import inspect
import re
import shutil
import urllib.parse
from pathlib import Path

import pytest

import fastbp

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = DOCS / "_build" / "html"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("how/*.md")])
LESSON = sorted(path.stem for path in (DOCS / "lesson").glob("*.py"))


@pytest.fixture(scope="module")
def site():
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built; `make docs` does that")
    return SITE


# Sources.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_pages(page):
    """Each >>> line of a page gives the result that is printed below it."""
    blocks = re.findall(r"^```python\n(>>> .*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    report: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert outcome.failed == 0, "".join(report)


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "bench" / "README.md"],
    ids=lambda path: path.name,
)
def test_files_that_pages_name_exist(page):
    folders = "fastbp|src_cython|tests|tools|bench|docs|examples"
    for name in re.findall(rf"`((?:{folders})/[\w/]+\.\w+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_translations_name_options_of_fit():
    """The first column of the table says what `Network.fit` really has."""
    page = (DOCS / "how" / "translate.md").read_text(encoding="utf-8")
    table = page.split("## Training")[1].split("## ")[0]
    options = re.findall(r"^\| `(\w+)=", table, re.M)
    assert len(options) > 10
    assert set(options) <= set(inspect.signature(fastbp.Network.fit).parameters)


def test_reference_lists_every_public_name():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(fastbp.__all__), "each name once, in a section of docs/api.md"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem
)
def test_examples_have_titles_and_pictures(path):
    """The gallery takes the title of its page from the docstring, see CONTRIBUTING.md."""
    source = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source))
    assert re.match(r"[^\n]+\n=+\n\n", docstring), "a title, a line of =, an empty line"
    drawn = re.search(r"\.show\(\)|sphinx_gallery_thumbnail_path", source)
    assert drawn, "a figure, or the path of a picture, for the gallery"


# Built pages.


class Links(html.parser.HTMLParser):
    """What a page refers to, and the places in it that can be referred to."""

    def __init__(self, path):
        super().__init__()
        self.path, self.anchors, self.loaded, self.links = path, set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.add(attributes.get("id"))
        self.loaded += [attributes[key] for key in ("src", "data") if attributes.get(key)]
        self.loaded += [
            part.split()[0] for part in (attributes.get("srcset") or "").split(",") if part
        ]
        if tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(attributes["href"])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


@pytest.fixture(scope="module")
def pages(site):
    return {path: Links(path) for path in sorted(site.rglob("*.html"))}


def test_every_public_name_has_a_page(site):
    for name in fastbp.__all__:
        assert (site / "generated" / "api" / f"fastbp.{name}.html").exists(), name


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for page in pages.values():
        for address in page.loaded:
            assert "//" not in address, (page.path, address)
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), style


def test_internal_links(site, pages):
    for page in pages.values():
        for link in [*page.links, *page.loaded]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme:
                continue
            target = page.path
            if parts.path:
                target = (page.path.parent / urllib.parse.unquote(parts.path)).resolve()
            assert target.exists(), (page.path, link)
            if parts.fragment and target in pages:
                assert urllib.parse.unquote(parts.fragment) in pages[target].anchors, (
                    page.path,
                    link,
                )


@pytest.mark.slow
@pytest.mark.parametrize("part", LESSON)
def test_notebooks_of_the_lesson(site, part, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(DOCS / "generated" / "lesson" / f"{part}.ipynb", as_version=4)
    shutil.copy(DOCS / "generated" / "lesson" / f"{part}.ipynb", tmp_path)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    kinds = [
        kind
        for cell in notebook.cells
        for out in cell.get("outputs", [])
        for kind in out.get("data", {})
    ]
    assert "image/png" in kinds
