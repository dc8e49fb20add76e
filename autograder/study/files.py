"""The files that JupyterLab shows to somebody who studies alone; runs in its server.

They are those of work/, with one difference: the start page is written anew each time that it is
opened, so that it shows the progress as it is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

from autograder.study import start


class StudyFiles(AsyncLargeFileManager):
    """Jupyter's usual files, and a start page that is never old."""

    async def get(self, path: str, *args: Any, **options: Any) -> Any:
        """The file or folder at `path`, as Jupyter's contents API has it."""
        if path.strip("/") == start.PAGE:
            work = Path(self.root_dir)
            try:
                await asyncio.to_thread(start.write, work.parent)
            except Exception as error:  # an old page is better than none
                self.log.warning("The start page could not be written: %s", error)
        return await super().get(path, *args, **options)
