"""Data sets by name: downloaded once, checked, and kept in a cache.

``IMAGE_DATASETS_CACHE`` names another cache than ~/.cache/image-classifier/datasets; ``IMAGE_DATASETS_URL`` another
place to fetch the archives from (a mirror), below which they lie under their usual file names.
"""

import hashlib
import http.client
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src.atomic import atomic_file
from src.errors import UserError
from src.files import sha256_file
from src.progress import say, track
from src.threads import call_within

TIMEOUT_SECONDS = 15
_CHUNK = 2**18


@dataclass(frozen=True)
class NamedDataset:
    """Where an archive lies, and its MD5 where its makers publish one (none is invented)."""

    url: str
    md5: str | None = None

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[1]


DATASETS = {
    "cats_vs_dogs": NamedDataset(
        "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip"
    ),
    "cats_and_dogs_filtered": NamedDataset(
        "https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
    ),
    "cifar10": NamedDataset(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", md5="c32a1d4ab5d03f1284b67883e8d87530"
    ),
    "cifar100": NamedDataset(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", md5="03b5dce01913d631647c71ecec9e9cb8"
    ),
}


def cache_folder() -> Path:
    """Where archives are kept."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "image-classifier" / "datasets"
    return Path(os.environ.get("IMAGE_DATASETS_CACHE") or default)


def fetch_dataset(name: str) -> Path:
    """The archive of a named data set, from the cache or else downloaded.

    Raises ``UserError`` where it cannot be fetched or is not the archive that was published or first seen.
    """
    dataset = DATASETS[name]
    cached = cache_folder() / dataset.file_name
    if cached.is_file():
        _verify(cached, cached, dataset)
        return cached
    base = os.environ.get("IMAGE_DATASETS_URL")
    url = f"{base.rstrip('/')}/{dataset.file_name}" if base else dataset.url
    say(f"Fetching {url} into {cached.parent}")
    with atomic_file(cached) as temporary:
        with open(temporary, "wb") as stream:
            for chunk in _download(url, name):
                stream.write(chunk)
        _verify(temporary, cached, dataset)
    return cached


def _verify(archive: Path, cached: Path, dataset: NamedDataset) -> None:
    """Compare with the published MD5, or else with the SHA-256 recorded at the first download."""
    if dataset.md5:
        with open(archive, "rb") as stream:
            found, expected = hashlib.file_digest(stream, "md5").hexdigest(), dataset.md5
        origin = "the published checksum"
    else:
        found = sha256_file(archive)
        record = cached.with_name(cached.name + ".sha256")
        if not record.is_file():
            with atomic_file(record) as temporary:
                temporary.write_text(f"{found}  {cached.name}\n", encoding="utf-8")
        words = record.read_text(encoding="utf-8", errors="replace").split()
        expected, origin = (words[0] if words else "nothing"), f"the checksum recorded in {record}"
    if found != expected:
        remedy = f"remove {cached} and fetch it again" if archive == cached else "try again, or get it another way"
        raise UserError(f"{dataset.file_name} has the checksum {found}, but {origin} is {expected}; {remedy}")


def _download(url: str, name: str) -> Iterator[bytes]:
    """Yield the bytes at ``url``; every failure of the network is one ``UserError``."""
    try:
        _verify_host(url)
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            expected = int(response.headers.get("Content-Length") or 0)
            received = 0
            with track(total=expected // 2**20 or None, what=f"Downloading {name}", unit="MB") as progress:
                while chunk := response.read(_CHUNK):
                    received += len(chunk)
                    progress.update(received // 2**20 - progress.n)
                    yield chunk
            if expected and received != expected:
                raise urllib.error.URLError(f"{received:,} of {expected:,} bytes arrived")
    except (OSError, http.client.HTTPException, ValueError) as error:
        # str() of an HTTPError tells its number; that of another URLError only wraps the reason
        reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", None) or error
        raise UserError(
            f"could not fetch {name} from {url} ({reason}); get {url.rsplit('/', 1)[1]} another way and give it with "
            f"--source PATH, or put it into {cache_folder()}"
        ) from error


def _verify_host(url: str) -> None:
    """Give up on a name that does not resolve: the resolver has no time-out of its own and may hang for minutes."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in urllib.request.getproxies():
        return  # then the proxy resolves
    try:
        call_within(TIMEOUT_SECONDS, lambda: socket.getaddrinfo(parts.hostname, parts.port or 443))
    except TimeoutError as error:
        raise TimeoutError(f"{parts.hostname} did not resolve within {TIMEOUT_SECONDS} seconds") from error
