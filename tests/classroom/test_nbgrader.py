"""What of nbgrader itself students can reach, and what we rely on there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from nbgrader.server_extensions.validate_assignment import handlers
from nbgrader.server_extensions.validate_assignment.handlers import ValidateAssignmentHandler
from tornado.web import HTTPError


@pytest.mark.parametrize("how", ["dots", "absolute", "link"])
def test_the_validate_button_stays_inside_the_servers_folder(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """jupyter/nbgrader#1978: it ran any notebook that the server's user may read."""
    root, outside = tmp_path / "home", tmp_path / "home2" / "secret.ipynb"
    root.mkdir()
    outside.parent.mkdir()
    outside.write_text("{}")
    (root / "own.ipynb").write_text("{}")
    (root / "link").symlink_to(outside.parent)
    asked_for: list[str] = []

    def validate(_: object, path: str) -> dict:
        asked_for.append(path)
        return {}

    monkeypatch.setattr(handlers.Validator, "validate", validate)
    handler = object.__new__(ValidateAssignmentHandler)
    handler.application = SimpleNamespace(settings={"root_dir": str(root)})
    paths = {
        "dots": "../home2/secret.ipynb",
        "absolute": str(outside),
        "link": "link/secret.ipynb",
    }
    with pytest.raises(HTTPError) as refused:
        handler.validate_notebook(paths[how])
    assert refused.value.status_code == 403
    assert asked_for == []
    assert handler.validate_notebook("own.ipynb")["success"]
    assert asked_for == [str(root / "own.ipynb")]
