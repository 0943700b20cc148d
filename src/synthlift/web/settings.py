"""What the server is told, and the limits that it keeps."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from synthlift.errors import InputError

MIB = 1024**2


@dataclass(frozen=True)
class Settings:
    """Everything about one server.

    Attributes:
        home: its own folder: jobs, uploads, what it generated, runs that it started.
        runs: run folders, and folders of run folders, to serve.
        store: where results are shared, and whose runs are served; None = the usual place.
        data: folders below which data sets may be chosen.
        host, port: where it listens.
        token: what clients must know; needed unless only this machine can connect.
        device: torch device of the process that draws and classifies.
        workers: processes of a study; None = one a core.
        examples: whether the built-in examples are unpacked when the server first starts.
        streams: pages that are kept informed by Server-Sent Events; others ask again and again.
        upload_bytes: of one request.
        picture_bytes, pictures: of one uploaded picture, and how many at once.
        max_pixels: of one picture; larger ones are refused from their header.
        archive_bytes, archive_entries: of what an uploaded zip unpacks to.
        keep_seconds: uploads and generated images are deleted so long after their last use.
        queued_jobs: jobs that may wait; more are refused.
        generations: requests for images that may be open; more are refused.
        classifications: pictures that may wait to be classified; more are refused.
        images: generated images of one request.
        per_minute, costly_per_minute: requests of one client, and those that compute something.
        login_per_minute: attempts to sign in of one client.
        memory_bytes: that a command, or the processes that draw and classify together, may use
            with all that they start; None = 80 % of the machine's.
        blind_tests: that may be open; more are refused.
        decode_seconds: after which that process is replaced when it still reads the same picture.
        look_seconds: in which a look at pictures, or a forecast, is done.
        unpack_seconds: in which an uploaded zip is unpacked.
        answer_seconds: after which the process that draws and classifies counts as stuck.
        pipelines_unused_seconds: after which the process that draws with pipelines is ended when
            nothing was asked of it; its weights take much memory.
    """

    home: Path
    runs: tuple[Path, ...] = ()
    store: Path | None = None
    data: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    device: str = "cpu"
    workers: int | None = None
    examples: bool = True
    streams: int = 4
    upload_bytes: int = 512 * MIB
    picture_bytes: int = 32 * MIB
    pictures: int = 24
    max_pixels: int = 40_000_000
    archive_bytes: int = 4096 * MIB
    archive_entries: int = 100_000
    keep_seconds: float = 24 * 3600.0
    queued_jobs: int = 8
    generations: int = 8
    classifications: int = 256
    images: int = 200
    per_minute: int = 2400
    costly_per_minute: int = 120
    login_per_minute: int = 10
    memory_bytes: int | None = None
    blind_tests: int = 200
    decode_seconds: float = 30.0
    look_seconds: float = 3600.0
    unpack_seconds: float = 300.0
    answer_seconds: float = 120.0
    pipelines_unused_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not self.token and not self.loopback:
            raise InputError(
                f"the server shall listen on {self.host} without a token",
                rule="whoever can connect from another machine must know a token",
                remedy="give --token, set SYNTHLIFT_TOKEN, or listen on 127.0.0.1",
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def own_name(self) -> str:
        """How this machine calls the server in addresses, also where it listens everywhere."""
        try:
            place = ipaddress.ip_address(self.host)
        except ValueError:
            return self.host
        if place.is_unspecified:
            return "127.0.0.1" if place.version == 4 else "[::1]"
        return f"[{place}]" if place.version == 6 else str(place)

    @property
    def address(self) -> str:
        """Of its first page, for this machine."""
        return f"http://{self.own_name}:{self.port}/"

    @property
    def uploads(self) -> Path:
        """Unpacked archives, one folder each."""
        return self.home / "uploads"

    @property
    def pictures_folder(self) -> Path:
        """Pictures on their way to be classified."""
        return self.home / "pictures"

    @property
    def generated(self) -> Path:
        """What was generated, one folder a request."""
        return self.home / "generated"

    @property
    def pools(self) -> Path:
        """Pools, one folder each."""
        return self.home / "pools"

    @property
    def own_runs(self) -> Path:
        """Runs that were started here."""
        return self.home / "runs"

    @property
    def examples_folder(self) -> Path:
        """Finished runs that came with the package, one folder each."""
        return self.home / "examples"

    @property
    def job_logs(self) -> Path:
        """What the commands printed."""
        return self.home / "jobs"


def default_home() -> Path:
    """``$SYNTHLIFT_DATA_HOME/web``, else below the user's data folder."""
    import platformdirs

    given = os.environ.get("SYNTHLIFT_DATA_HOME")
    return (Path(given) if given else Path(platformdirs.user_data_dir("synthlift"))) / "web"
