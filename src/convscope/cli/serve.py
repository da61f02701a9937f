"""`convscope serve [outputs]`: a server of the pages of all runs, for people who work on another machine."""

import argparse
import errno
import getpass
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from convscope.errors import UserError, command_line
from convscope.report.run_list import run_folders
from convscope.report.server import RunServer
from convscope.runs.number_format import counted

PORT = 8765
ANY_ADDRESS = ("0.0.0.0", "::")  # of this machine


class WordsOrError(argparse.ArgumentParser):
    """Raises UserError where argparse would print its usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"serve: {message}; type {command_line('serve', '--help')} for what can be typed")


def serve(words: Sequence[str]) -> None:
    """Serves until Ctrl-C. words: the command line after `serve`. Raises UserError for what cannot be served."""
    server = open_server(words)
    try:
        for line in _address_lines(server):
            print(line, flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nended")
    finally:
        server.server_close()


def open_server(words: Sequence[str]) -> RunServer:
    """The server that listens already. Raises UserError for a folder without runs, and an address that is taken."""
    typed = _parser().parse_args(words)
    folder = Path(typed.folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; name one that holds runs: {command_line('serve')} <folder>")
    if next(run_folders(folder.resolve()), None) is None:
        raise UserError(f"no run in {folder}; name a folder that holds runs: {command_line('serve')} <folder>")
    host, is_local = _checked_host(typed.host)
    if not 0 <= typed.port < 2**16:
        raise UserError(f"--port {typed.port} is no port; take a number from 0 (any that is free) to 65535")
    token = secrets.token_urlsafe(24) if typed.token or not is_local else ""
    try:
        return RunServer(folder, host, typed.port, token)
    except OSError as error:
        raise UserError(_problem(error, typed.host, typed.port)) from None


def _parser() -> argparse.ArgumentParser:
    parser = WordsOrError(
        prog=command_line("serve"),
        description="Serves the pages of all runs and sweeps in a folder. Ctrl-C ends it.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", nargs="?", default="outputs", help="holds the runs, at any depth (outputs)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=PORT, help=f"0 takes any that is free ({PORT})")
    parser.add_argument("--token", action="store_true", help="demand a token; at other addresses it always is")
    return parser


def _checked_host(host: str) -> tuple[str, bool]:
    """The address to listen at, and whether it is this machine's own. Raises UserError for a name without address."""
    try:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise UserError(f"--host {host} is no address of this machine; take 127.0.0.1 or 0.0.0.0") from None
    address = next((address for address in addresses if ":" not in address), addresses[0])
    return address, ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken; type --port {port + 1 if port < 65535 else 0}, or --port 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"port {port} is not for every user; take one from 1024 on, such as --port {PORT}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is no address of this machine; take 127.0.0.1 or 0.0.0.0"
    return f"cannot listen at {host}, port {port}: {error.strerror or error}"


def _address_lines(server: RunServer) -> list[str]:
    """What to open, and what to type on another machine."""
    rows, port, host = server.runs.rows(), server.port, str(server.server_address[0])
    sweeps = sum(row.job == "sweep" for row in rows)
    runs = len(rows) - sweeps
    count = counted(runs, "run") + (f" and {counted(sweeps, 'sweep')}" if sweeps else "")
    machine = socket.gethostname()
    name = machine if host in ANY_ADDRESS else f"[{host}]" if ":" in host else host
    query = f"?token={server.token}" if server.token else ""
    lines = [f"{count} of {server.folder.name}: http://{name}:{port}/{query}"]
    target = "localhost" if host in ANY_ADDRESS else host
    lines.append(f"from another machine: ssh -N -L {port}:{target}:{port} {getpass.getuser()}@{machine}")
    lines.append(f"  and open there http://localhost:{port}/{query}")
    return [*lines, "Ctrl-C ends it"]
