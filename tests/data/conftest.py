"""Shared by the tests of data: how the processes start that load images."""

import multiprocessing

import pytest


@pytest.fixture
def start_method(request):
    """How processes start: spawn on macOS and Windows, fork on Linux, forkserver there from Python 3.14 on."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(request.param, force=True)
    yield
    multiprocessing.set_start_method(before, force=True)
