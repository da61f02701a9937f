"""Gives the pages of runs to a browser, over http: the list of all runs, and the files of run folders alone.

What a run folder holds may come from anybody, and so may a request: no path leads out of the run folder that it names,
neither by dots nor by a link, and pages may load nothing from elsewhere.
"""

import hmac
import mimetypes
import os
import socket
import sys
from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, unquote_to_bytes, urlsplit
from zlib import crc32

from convscope.report.page import asset_texts, template
from convscope.report.run_list import RunList, has_run
from convscope.runs.reading import is_sweep_folder

BLOCK = 2**16  # bytes of a file that are sent at once
NOT_IN_NAMES = {"\0", "\\", ":"} if sys.platform == "win32" else {"\0"}  # signs
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
SCRIPTS = ("elements.js", "sorting.js", "runs.js")
HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
TYPES = {".js": "text/javascript", ".jsonl": "text/plain", ".csv": "text/plain", ".log": "text/plain"}


def served_file(root: Path, address: str) -> Path | None:
    """The file at an address, which lies in a run folder or is of a sweep's page; None for any other. root: resolved.

    Names that begin with a dot are none of a page: Hydra's record, and files that are only half written.
    """
    parts = os.fsdecode(unquote_to_bytes(address)).split("/")[1:]
    if not parts or any(not part or part.startswith(".") or set(part) & NOT_IN_NAMES for part in parts):
        return None
    path = root.joinpath(*parts)
    try:
        owner = next((folder for folder in path.parents if folder.is_relative_to(root) and _owns(folder, path)), None)
        if owner is None or not owner.resolve().is_relative_to(root):
            return None
        resolved = path.resolve(strict=True)
        return resolved if resolved.is_file() and resolved.is_relative_to(owner.resolve()) else None
    except (OSError, RuntimeError):  # absent, too long, links in a circle
        return None


def _owns(folder: Path, path: Path) -> bool:
    return has_run(folder) or (is_sweep_folder(folder) and path.is_relative_to(folder / "report"))


class RunServer(ThreadingHTTPServer):
    """Serves the runs of a folder. token: which every request has to bring; "" for a server of this machine alone.

    Raises OSError where it cannot listen at the address.
    """

    daemon_threads = True

    def __init__(self, folder: Path, host: str, port: int, token: str = ""):
        self.folder, self.token = folder.resolve(), token
        self.runs = RunList(self.folder)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), RunHandler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a browser that left
            super().handle_error(request, client_address)


class RunHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: RunServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds for which a connection may be silent

    def do_GET(self) -> None:
        try:
            url, host = urlsplit(self.path), urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no address")
            return
        if not self._may_ask(url.path, parse_qs(url.query), host):
            return
        if url.path == "/":
            self._answer(self._list_page())
        elif url.path == "/rows":
            self._answer(template("run_rows.html").render(rows=self.server.runs.rows()))
        elif (path := served_file(self.server.folder, url.path)) is not None:
            self._send_file(path)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "no file of a run is here; the list of all runs is at /")

    do_HEAD = do_GET

    def _may_ask(self, path: str, query: dict[str, list[str]], host: str | None) -> bool:
        """Whether the request is answered; else it has got a refusal, or a cookie in place of the token."""
        token = self.server.token
        if not token:  # a page of another host that calls itself by this address may not read
            if host not in LOCAL_NAMES:
                self._refuse(HTTPStatus.FORBIDDEN, "this server answers to localhost; start it with --token for others")
            return host in LOCAL_NAMES
        if (typed := query.get("token", [""])[0]) and is_token(typed, token):
            self.send_response(HTTPStatus.SEE_OTHER)
            self.send_header("Location", quote(unquote("/" + path.lstrip("/"))))  # never //another.host
            self.send_header("Set-Cookie", f"{self._cookie()}={token}; Path=/; HttpOnly; SameSite=Lax")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False
        with suppress(CookieError):
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie())
            if cookie is not None and is_token(cookie.value, token):
                return True
        reason = "the token is wrong" if typed else "a token is needed"
        self._refuse(HTTPStatus.FORBIDDEN, f"{reason}; open the address that convscope serve has printed")
        return False

    def _cookie(self) -> str:
        return f"convscope_{self.server.port}"  # cookies are of a host, whatever its port

    def _list_page(self) -> str:
        return template("runs.html").render(
            title=self.server.folder.name,
            rows=self.server.runs.rows(),
            styles=asset_texts("page.css", "sweep.css", "runs.css", "print.css"),
            scripts=asset_texts(*SCRIPTS),
        )

    def _answer(self, text: str) -> None:
        body = text.encode(errors="replace")
        if self._is_unchanged(tag := f'"{crc32(body):x}-{len(body)}"'):
            return
        self._begin(HTTPStatus.OK, "text/html; charset=utf-8", len(body), tag)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, path: Path) -> None:
        if not os.access(path, os.R_OK):
            self._refuse(HTTPStatus.NOT_FOUND, "this file cannot be read")
            return
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if self._is_unchanged(tag := f'"{status.st_mtime_ns:x}-{status.st_size:x}"'):
                return
            kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            kind += "; charset=utf-8" if kind.startswith("text/") else ""
            self._begin(HTTPStatus.OK, kind, status.st_size, tag)
            if self.command != "HEAD":
                self._copy(file, status.st_size)

    def _copy(self, file: Any, size: int) -> None:
        """Sends so many bytes; a file that has become shorter ends the connection."""
        left = size
        while left and (block := file.read(min(left, BLOCK))):
            self.wfile.write(block)
            left -= len(block)
        self.close_connection = self.close_connection or left > 0

    def _is_unchanged(self, tag: str) -> bool:
        """Whether the browser has this content already, which it then is told."""
        if self.headers.get("If-None-Match") != tag:
            return False
        self.send_response(HTTPStatus.NOT_MODIFIED)
        self.send_header("ETag", tag)
        self.end_headers()
        return True

    def _begin(self, status: HTTPStatus, kind: str, size: int, tag: str = "") -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        body = f"convscope: {words}\n".encode()
        self._begin(status, "text/plain; charset=utf-8", len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "convscope"

    def log_message(self, format: str, *args: Any) -> None:
        pass


def is_token(typed: str, token: str) -> bool:
    """Whether it is the token, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(typed.encode(errors="replace"), token.encode())
