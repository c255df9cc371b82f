"""A running JupyterLab, and a browser to look at it with."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# JupyterLab's question whether to show its news would lie over what is to be clicked.
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab and the folder it serves."""

    address: str
    folder: Path


def find_browser() -> str | None:
    """The path of a Chromium or Chrome, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def running_lab(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Lab]:
    """A JupyterLab on a folder, with settings of its own, while the context lasts.

    Args:
        folder: what it serves, and where it is started.
        environment: variables that it gets besides those of this process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory() as settings:
        news = Path(
            settings, "@jupyterlab", "apputils-extension", "notification.jupyterlab-settings"
        )
        news.parent.mkdir(parents=True)
        news.write_text(json.dumps(NO_NEWS), encoding="utf-8")
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
                *("--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"),
                f"--LabApp.user_settings_dir={settings}",
            ],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            lab = Lab(f"http://127.0.0.1:{port}", folder)
            _wait_for(f"{lab.address}/api")
            yield lab
        finally:
            server.terminate()
            server.wait()


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url)
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within a minute")
