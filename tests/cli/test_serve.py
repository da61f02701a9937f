"""`convscope serve`: its words, its errors, and the lines that it prints."""

import re
import socket
import subprocess
import sys
import urllib.request

import pytest

from conftest import ROOT
from convscope.cli.serve import _address_lines, open_server
from convscope.errors import UserError
from report.sweeps import run


@pytest.fixture
def outputs(tmp_path):
    run(tmp_path / "outputs/train/a", 0.5)
    (tmp_path / "empty").mkdir()
    return tmp_path / "outputs"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent"], r"no folder absent; name one that holds runs: .*serve <folder>"),
        (["{outputs}/../empty"], r"no run in .*empty; name a folder that holds runs"),
        (["{outputs}", "--port", "70000"], r"--port 70000 is no port; take a number from 0"),
        (["{outputs}", "--port", "http"], r"serve: .*invalid int value: 'http'; type .*serve --help"),
        (["{outputs}", "--prot", "1"], r"serve: unrecognized arguments: --prot 1"),
        (["{outputs}", "--host", "no.such.host.invalid"], r"--host no.such.host.invalid is no address of this machine"),
        (["{outputs}", "--host", "192.0.2.1"], r"--host 192.0.2.1 is no address of this machine"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(outputs, words, message):
    with pytest.raises(UserError, match=message):
        open_server([word.format(outputs=outputs) for word in words])


def test_a_port_that_is_taken_comes_with_another(outputs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is taken; type --port {port + 1}, or --port 0"):
            open_server([str(outputs), "--port", str(port)])


@pytest.mark.parametrize(
    ("words", "has_token"),
    [([], False), (["--host", "localhost"], False), (["--token"], True), (["--host", "0.0.0.0"], True)],
)
def test_other_addresses_need_a_token_that_the_printed_address_has(outputs, words, has_token):
    server = open_server([str(outputs), "--port", "0", *words])
    try:
        text = "\n".join(_address_lines(server))
        assert bool(server.token) is has_token is bool(re.search(r"/\?token=[\w-]{32}$", text, re.MULTILINE))
        assert re.search(rf"ssh -N -L {server.port}:[\w.]+:{server.port} \S+@\S+$", text, re.MULTILINE)
        assert text.startswith("1 run of outputs: http://")
    finally:
        server.server_close()


@pytest.mark.slow
def test_the_program_serves_until_it_is_ended(outputs):
    command = [sys.executable, str(ROOT / "src/run.py"), "serve", "outputs", "--port", "0"]
    with subprocess.Popen(command, cwd=outputs.parent, stdout=subprocess.PIPE, text=True) as program:
        try:
            address = re.search(r"http://\S+", program.stdout.readline())[0]
            with urllib.request.urlopen(address, timeout=60) as response:
                assert "train/a" in response.read().decode()
        finally:
            program.terminate()
