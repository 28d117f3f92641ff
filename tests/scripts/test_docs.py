"""The pages of docs/ that are made from the code are up to date."""

from __future__ import annotations

import pytest

from scripts.docs import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_made_page_is_up_to_date(name):
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs` and commit what it writes"
