"""Options, fixtures and Hypothesis profiles that every test shares."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Said in full, because Hypothesis picks other defaults (derandomized) where it finds itself in CI.
_COMMON = settings(
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", _COMMON, max_examples=30)
settings.register_profile("long", _COMMON, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure() -> None:
    # What a shell starts in the background ignores Ctrl-C, and so would the commands that the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sealkeep")
    group.addoption("--vectors", metavar="DIR", help="folder of published test vectors; without it their tests skip")
    group.addoption("--data", metavar="DIR", help="folder of real chat exports; without it their tests skip")
    group.addoption("--long", action="store_true", help="run the tests marked `long` too")
    group.addoption("--write-docs", action="store_true", help="write the tables of docs/ anew from what the tests find")


def pytest_report_header(config: pytest.Config) -> str:
    found = {option: _folder(config, option)[0] or "none" for option in ("--vectors", "--data")}
    return (
        f"sealkeep: hypothesis profile {settings.get_current_profile_name()}, long tests "
        f"{'on' if config.getoption('--long') else 'off'}, vectors: {found['--vectors']}, data: {found['--data']}"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="long test: run with --long (make test-long)")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def _folder(config: pytest.Config, option: str) -> tuple[Path | None, str]:
    """The folder an option names, or None and the reason why there is none."""
    given: str | None = config.getoption(option)
    if not given:
        return None, f"no {option} DIR given"
    folder = (config.invocation_params.dir / given).resolve()
    if not folder.is_dir():
        return None, f"{option} {given}: no such folder"
    return folder, ""


def _folder_or_skip(config: pytest.Config, option: str) -> Path:
    folder, reason = _folder(config, option)
    if folder is None:
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def vectors_dir(pytestconfig: pytest.Config) -> Path:
    """The folder of published test vectors; skips where `--vectors` names none."""
    return _folder_or_skip(pytestconfig, "--vectors")


@pytest.fixture(scope="session")
def data_dir(pytestconfig: pytest.Config) -> Path:
    """The folder of real chat exports; skips where `--data` names none."""
    return _folder_or_skip(pytestconfig, "--data")
