"""The folder a child is started in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracefuse.tools import ToolExecutionError
from tracefuse.tools._workdir import empty_folder


def test_it_is_made_and_is_ours_alone(tmp_path: Path) -> None:
    with empty_folder(tmp_path / "cache" / "runs") as folder:
        assert Path(folder) == tmp_path / "cache" / "runs"
        assert Path(folder).stat().st_mode & 0o777 == 0o700
    with empty_folder(tmp_path / "cache" / "runs") as again:
        assert again == folder


@pytest.mark.parametrize("trouble", ["a file in it", "others may write to it"])
def test_one_that_cannot_be_trusted_is_not_used(tmp_path: Path, trouble: str) -> None:
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o700)
    if trouble == "a file in it":
        (runs / "evil.nse").touch()
    else:
        runs.chmod(0o777)
    with empty_folder(runs) as folder:
        path = Path(folder)
        assert path.parent == runs
        assert path.stat().st_mode & 0o777 == 0o700
        assert list(path.iterdir()) == []
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_said_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ToolExecutionError) as caught, empty_folder(tmp_path / "file" / "runs"):
        pass
    assert "TRACEFUSE_CACHE_DIR" in caught.value.hint
