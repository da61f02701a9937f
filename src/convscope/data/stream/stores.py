"""Files of object stores, fetched one by one: of S3 and whatever speaks its language by boto3, of others by litdata.

litdata's own way to S3 takes no endpoint without TLS (a MinIO in the next room) and, where nothing answers, tries a
thousand times before it says so.
"""

import os
from logging import WARNING, getLogger
from pathlib import Path
from typing import Any, Protocol

from convscope.errors import UserError

STORES = ("s3://", "gs://", "azure://", "hf://", "local:")  # local: is a folder treated as if it were far away
FIRST, LATER = 3, 10  # attempts at what a run begins with, and at chunks in the midst of it: about 10 s and 3 minutes
S3_HINT = {
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "EndpointConnectionError": "a store of one's own is named by AWS_ENDPOINT_URL",
    "ConnectTimeoutError": "a store of one's own is named by AWS_ENDPOINT_URL",
}


class Fetcher:
    """Copies files of `url` into `folder`; credentials come from where the stores' own programs look for them."""

    def __init__(self, url: str, folder: Path):
        self._url, self._folder = url.rstrip("/"), folder
        self._client: Client | None = None
        self._process = 0

    def fetch(self, name: str) -> None:
        """The file is there and whole afterwards. Raises UserError: no such file, no access, no network."""
        try:
            if self._client is None or self._process != os.getpid():  # clients do not survive a fork
                self._client, self._process = self._connected(), os.getpid()
            self._client.download(name, self._folder / name)
        except UserError:
            raise
        except Exception as error:  # each store has errors of its own
            raise self._problem(name, error) from None
        if not (self._folder / name).is_file():
            raise self._problem(name, "nothing came")

    def _connected(self) -> "Client":
        return S3(self._url) if self._url.startswith("s3://") else Litdata(self._url, self._folder)

    def _problem(self, name: str, error: object) -> UserError:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        hint = S3_HINT.get(type(error).__name__)
        return UserError(f"data.root={self._url}: {name} cannot be fetched: {reason}" + (f"; {hint}" if hint else ""))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None, "_process": 0}


class Client(Protocol):
    def download(self, name: str, path: Path) -> None:
        """Leaves the whole file at `path`, or none."""


class S3:
    """boto3's, which reads AWS_ENDPOINT_URL, AWS_PROFILE and the rest of its environment."""

    def __init__(self, url: str):
        installed()
        import boto3
        from botocore.config import Config

        getLogger("botocore").setLevel(WARNING)  # else it tells where it found its settings
        self._bucket, _, self._prefix = url.removeprefix("s3://").partition("/")
        session, self._clients = boto3.session.Session(), dict[int, Any]()
        for attempts in (FIRST, LATER):
            retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
            config = Config(retries=retries, connect_timeout=5, read_timeout=30)
            self._clients[attempts] = session.client("s3", config=config)

    def download(self, name: str, path: Path) -> None:
        from botocore.exceptions import ClientError

        client = self._clients[LATER if name.startswith("chunk-") else FIRST]
        key = f"{self._prefix}/{name}".lstrip("/")
        try:
            client.download_file(self._bucket, key, str(path))  # under another name until it is whole
        except ClientError:
            client.get_object(Bucket=self._bucket, Key=key)["Body"].close()  # says whether the bucket or the key lacks
            raise


class Litdata:
    """litdata's clients of the other stores."""

    def __init__(self, url: str, folder: Path):
        installed()
        from litdata.streaming.downloader import get_downloader

        self._url, self._client = url, get_downloader(url, str(folder), [], {})

    def download(self, name: str, path: Path) -> None:
        self._client.download_file(f"{self._url}/{name}", str(path))


def installed() -> None:
    """Raises UserError where litdata, with which boto3 comes, is not there."""
    try:
        import boto3  # noqa: F401
        import litdata  # noqa: F401
    except ImportError:
        raise UserError(
            "converting images, and reading converted ones from an object store, needs litdata: "
            "pip install 'convscope[stream]'"
        ) from None
