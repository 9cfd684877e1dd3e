"""Draw the floors of fastbp anew in CONTRIBUTING.md and docs/code.md.

To be run when a module is added or moved, or when the first line of its docstring changes. The
texts are made in tests/floors.py; tests/test_house.py compares the pages with them.

Run: python tools/draw_floors.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import floors  # noqa: E402

for page, names in floors.PAGES.items():
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in names:
        text = floors.drawn(text, name)
    (ROOT / page).write_text(text, encoding="utf-8")
