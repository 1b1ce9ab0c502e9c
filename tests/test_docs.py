"""The site's pages and what they name; `make docs` builds it, and fails on what the builder complains of."""

import importlib
import pathlib
import re
import tomllib

import pytest

from ikelos import kernels, layers
from ikelos.layers import decoding, distributions, testing

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = sorted(DOCS.glob("reference/*.md"))
PAGES = sorted(
    page for pattern in ("*.md", "kernels/*.md", "serving/*.md", "docs/**/*.md") for page in ROOT.glob(pattern)
)


def documented():
    return [name for page in REFERENCE for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)]


def found(path):
    """The object that a dotted path names."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return importlib.import_module(path)


def public():
    checks = {testing.check_layer, testing.check_config}
    modules = (kernels, layers, decoding, distributions)
    return checks | {getattr(module, name) for module in modules for name in module.__all__}


def test_the_reference_has_every_public_object_once():
    objects = [found(path) for path in documented()]
    missing = sorted(thing.__name__ for thing in public() - set(objects))
    assert missing == []
    assert len(objects) == len(set(objects))


def test_every_page_is_in_the_navigation():
    with (ROOT / "zensical.toml").open("rb") as file:
        nav = tomllib.load(file)["project"]["nav"]
    listed = re.findall(r"[\w/-]+\.md", str(nav))
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.glob("**/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


# The Python blocks that need no run or export of ours.
EXAMPLES = {
    f"{page}-{i}": block
    for page in ("README.md", "kernels/README.md", "docs/convert.md", "docs/layers.md", "docs/positions.md")
    for i, block in enumerate(re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL))
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_runs_alone(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    exec(EXAMPLES[name], {})


def test_the_readme_has_examples():
    assert sum(name.startswith("README.md-") for name in EXAMPLES) >= 2
