"""The programs of the page on Python, as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from synthlift import api

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "python.md"


def test_the_page_on_python_does_what_it_says(
    tiny_study: dict[str, Any],
    private_folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_images.yaml").write_text(json.dumps({**tiny_study, "name": "my_images"}))
    source = Path(tiny_study["data"]["source"])
    Image.open(source / "cross" / "000.png").save("new.jpg")
    start, *others = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    Path("page.py").write_text(start)  # a file: workers import it
    done = subprocess.run([sys.executable, "page.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdict = api.load("runs/my_images").verdict
    assert verdict is not None
    assert "mixed@2" in done.stdout
    assert verdict.sentence in done.stdout

    for program in others:
        exec(program, {})
    told = capsys.readouterr().out
    assert verdict.sentence in told
    assert "new.jpg" in told
    assert list(Path("training_images").rglob("*.png"))
