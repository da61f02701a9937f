"""Files of a set in an object store, fetched one by one into a folder of limited size.

S3, and stores that speak its language, are read by boto3, other stores by litdata. litdata's S3 client accepts no
endpoint without TLS (a MinIO server in the local network), and tries a thousand times where nothing answers.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from logging import WARNING, getLogger
from pathlib import Path
from typing import Any

from filelock import FileLock

from convscope.errors import UserError, install, reason_of

STORES = ("s3://", "gs://", "azure://", "hf://", "local:")  # local: is a folder treated as an object store
FIRST_ATTEMPTS, CHUNK_ATTEMPTS = 3, 10  # for the files that a run begins with, and for chunks: about 10 s and 3 minutes
S3_HINT = {
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "EndpointConnectionError": "a store of one's own is named by AWS_ENDPOINT_URL",
    "ConnectTimeoutError": "a store of one's own is named by AWS_ENDPOINT_URL",
}
Download = Callable[[str, Path], None]  # of a file of the store to a path, where it appears when it is complete


class StoreCache:
    """A folder with files of a store. Holds at most `limit` bytes of chunks; those not used for longest go first.

    Credentials come from the places where the stores' own programs look for them.
    """

    def __init__(self, url: str, folder: Path, limit: float):
        self.url, self.folder, self.limit = url, folder, limit
        self._download: Download | None = None
        self._pid = 0

    def bring(self, name: str) -> None:
        """Makes sure that the file is in the folder. Raises UserError: no such file, no access, no network."""
        with FileLock(self.folder / f".{int(hashlib.sha1(name.encode()).hexdigest(), 16) % 16}.lock"):
            if not (self.folder / name).is_file():
                self._fetch(name)
        self._make_room(name)

    def _fetch(self, name: str) -> None:
        try:
            if self._download is None or self._pid != os.getpid():  # clients do not survive a fork
                connect = _s3 if self.url.startswith("s3://") else _litdata
                self._download, self._pid = connect(self.url, self.folder), os.getpid()
            self._download(name, self.folder / name)
        except UserError:
            raise
        except Exception as error:  # each store has errors of its own
            raise self._fetch_error(name, error) from None
        if not (self.folder / name).is_file():
            raise self._fetch_error(name, "nothing came")

    def _fetch_error(self, name: str, error: object) -> UserError:
        hint = S3_HINT.get(type(error).__name__)
        return UserError(
            f"data.root={self.url}: {name} cannot be fetched: {reason_of(error)}" + (f"; {hint}" if hint else "")
        )

    def _make_room(self, newest: str) -> None:
        chunks = []
        for path in self.folder.glob("chunk-*.bin"):
            with suppress(FileNotFoundError):
                chunks.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, _ in chunks)
        for _, size, path in sorted(chunks):
            if total > self.limit and path.name != newest:
                path.unlink(missing_ok=True)  # a process that has the file open reads on
                total -= size

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_download": None, "_pid": 0}


def _s3(url: str, folder: Path) -> Download:
    """boto3's client, which reads AWS_ENDPOINT_URL, AWS_PROFILE and the rest of its environment."""
    require_litdata()
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    getLogger("botocore").setLevel(WARNING)  # it would print where its settings come from
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    session, clients = boto3.session.Session(), dict[int, Any]()
    for attempts in (FIRST_ATTEMPTS, CHUNK_ATTEMPTS):
        retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
        clients[attempts] = session.client("s3", config=Config(retries=retries, connect_timeout=5, read_timeout=30))

    def download(name: str, path: Path) -> None:
        client = clients[CHUNK_ATTEMPTS if name.startswith("chunk-") else FIRST_ATTEMPTS]
        key = f"{prefix}/{name}".lstrip("/")
        try:
            client.download_file(bucket, key, str(path))  # under another name until the file is complete
        except ClientError:
            client.get_object(Bucket=bucket, Key=key)["Body"].close()  # its error tells a missing bucket from a key
            raise

    return download


def _litdata(url: str, folder: Path) -> Download:
    """litdata's client of the other stores."""
    require_litdata()
    from litdata.streaming.downloader import get_downloader

    client = get_downloader(url, str(folder), [], {})
    return lambda name, path: client.download_file(f"{url}/{name}", str(path))


def require_litdata() -> None:
    """Raises UserError where litdata, with which boto3 comes, is not installed."""
    try:
        import boto3  # noqa: F401
        import litdata  # noqa: F401
    except ImportError:
        raise UserError(
            "converting images, and reading converted ones from an object store, needs litdata: " + install("stream")
        ) from None
