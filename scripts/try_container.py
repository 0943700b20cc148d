"""Run the Dockerfile's steps in a clean Debian, and try what they give, without a Docker daemon.

    sudo python scripts/try_container.py [--place DIR] [--cache DIR] [--arg NAME=VALUE] [--keep]

Needs root, Linux, debootstrap, util-linux and, for the steps, the network that a build needs. The
base image is replaced by Debian bookworm with Debian's Python. What is built is then started
without any network, as the image's user, and asked: its health, the token, its examples, an
inspection, a drawing. Everything is mounted in a namespace of its own and gone when the script
ends. Nothing outside DIR and the cache is written.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
TOKEN, PORT = "a-token-to-try", 8000
JSON = {"Content-Type": "application/json"}
Say = Callable[[str], None]


@dataclass
class Stage:
    """One stage of a Dockerfile, as far as it was read."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Image:
    """What a stage gives."""

    root: Path
    env: dict[str, str]
    user: str = "0:0"
    folder: str = "/"
    command: dict[str, Any] = field(default_factory=dict)


def read_dockerfile(text: str) -> list[Stage]:
    """Stages with their steps: upper-case instruction and its words."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    stages: list[Stage] = []
    first: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word.upper() == "FROM":
            named = re.search(r"\s+AS\s+(\S+)", rest, re.IGNORECASE)
            stages.append(Stage(named.group(1) if named else ""))
        elif stages:
            stages[-1].steps.append((word.upper(), rest.strip()))
        else:
            first.append((word.upper(), rest.strip()))
    for stage in stages:
        stage.steps[:0] = first
    return stages


def mounts_of(words: str) -> tuple[list[str], str]:
    """Targets of a RUN step's cache mounts, and its command."""
    targets = []
    while found := re.match(r"--mount=(\S+)\s+", words):
        options = dict(part.partition("=")[::2] for part in found.group(1).split(","))
        assert options["type"] == "cache", f"only cache mounts are understood: {found.group(1)}"
        targets.append(options["target"])
        words = words[found.end() :]
    return targets, words


# ── building ──────────────────────────────────────────────────────────────────────────────────


class Builder:
    """Runs stages, each in a copy of one clean Debian."""

    def __init__(self, place: Path, *, cache: Path, args: Mapping[str, str], say: Say) -> None:
        self.place, self.cache, self.args, self.say = place, cache, args, say
        self.built: dict[str, Image] = {}

    def base(self) -> Path:
        """A clean Debian; kept for the next time."""
        root = self.place / "base"
        if (root / "usr/local/bin/python").is_symlink():
            return root
        shutil.rmtree(root, ignore_errors=True)
        self.say("debootstrap bookworm")
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root))
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        if certificates.is_file():  # a network may have an authority of its own
            shutil.copyfile(certificates, root / certificates.relative_to("/"))
        return root

    def build(self, stage: Stage) -> Image:
        """All steps of a stage."""
        root = self.place / f"stage-{stage.name or 'last'}"
        remove(root)
        run("cp", "-a", "--reflink=auto", str(self.base()), str(root))
        run("mount", "-t", "proc", "proc", str(root / "proc"))
        run("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(root / "dev/shm"))
        shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
        image = Image(root, {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
        for word, rest in stage.steps:
            self.say(f"{word} {rest[:90]}")
            getattr(self, f"_{word.lower()}")(image, rest)
        self.built[stage.name] = image
        return image

    def _arg(self, image: Image, rest: str) -> None:
        name, _, usual = rest.partition("=")
        image.env[name] = self.args.get(name, usual)

    def _env(self, image: Image, rest: str) -> None:
        for part in shlex.split(rest):
            name, _, value = part.partition("=")
            image.env[name] = re.sub(
                r"\$(\w+)", lambda found: image.env.get(found.group(1), ""), value
            )

    def _run(self, image: Image, rest: str) -> None:
        targets, command = mounts_of(rest)
        for target in targets:
            inside = image.root / target.lstrip("/")
            inside.mkdir(parents=True, exist_ok=True)
            run("mount", "--bind", str(self.cache), str(inside))
        # A base image of Debian guards its Python against pip, that of Docker's Python does not.
        build_only = {"PIP_BREAK_SYSTEM_PACKAGES": "1", "HOME": "/root", **_network()}
        try:
            inside_chroot(image, ["/bin/sh", "-c", command], user="0:0", further=build_only)
        finally:
            for target in targets:
                run("umount", str(image.root / target.lstrip("/")))

    def _copy(self, image: Image, rest: str) -> None:
        words = shlex.split(rest)
        base = REPOSITORY
        if words[0].startswith("--from="):
            base = self.built[words.pop(0).removeprefix("--from=")].root
        *sources, target = words
        place = image.root / image.folder.lstrip("/") / target
        if target.startswith("/"):
            place = image.root / target.lstrip("/")
        for source in sources:
            given = base / source.lstrip("/")
            into = place / given.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            if given.is_dir():
                shutil.copytree(given, into, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copyfile(given, into)

    def _workdir(self, image: Image, rest: str) -> None:
        image.folder = rest
        (image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _user(self, image: Image, rest: str) -> None:
        image.user = rest

    def _remember(self, image: Image, rest: str, *, word: str) -> None:
        image.command[word] = json.loads(rest)

    def _entrypoint(self, image: Image, rest: str) -> None:
        self._remember(image, rest, word="ENTRYPOINT")

    def _cmd(self, image: Image, rest: str) -> None:
        self._remember(image, rest, word="CMD")

    def _healthcheck(self, image: Image, rest: str) -> None:
        self._remember(image, rest.partition("CMD")[2].strip(), word="HEALTHCHECK")

    def _volume(self, image: Image, rest: str) -> None:
        del image, rest

    _expose = _label = _volume


def _network() -> dict[str, str]:
    """What a build needs to reach a registry from here."""
    names = [name for name in os.environ if name.lower().endswith("_proxy")]
    return {
        **{name: os.environ[name] for name in names},
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    }


def remove(folder: Path) -> None:
    """Delete a folder, unless something is mounted in it: that belongs to others."""
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    if any(Path(place).is_relative_to(folder) for place in places):
        raise RuntimeError(f"something is mounted below {folder}; unmount it and delete it")
    shutil.rmtree(folder, ignore_errors=True)


def run(*words: str) -> None:
    """A command that must succeed."""
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def in_chroot(image: Image, words: Sequence[str], *, user: str) -> list[str]:
    """The command line that runs words in an image, with its environment alone."""
    env = [f"{name}={value}" for name, value in image.env.items()]
    there = f'cd {shlex.quote(image.folder)} && exec "$@"'
    return [
        *("chroot", f"--userspec={user}", str(image.root), "/usr/bin/env", "-i", *env),
        *("/bin/sh", "-c", there, "sh", *words),
    ]


def inside_chroot(
    image: Image, words: Sequence[str], *, user: str, further: Mapping[str, str]
) -> None:
    """Run a step."""
    used = Image(image.root, {**image.env, **further}, folder=image.folder)
    subprocess.run(in_chroot(used, words, user=user), check=True)


def without_network() -> None:
    """Leave the network: from here on only loopback is there, and of our own."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    # Even loopback is down at first.
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def attempt(image: Image, say: Say) -> None:
    """Start what was built and ask it, without any network."""
    assert image.user.split(":")[0] != "0", "the image runs as root"
    assert not (image.root / "source").exists(), "the sources are left in the last stage"
    without_network()
    image.env["SYNTHLIFT_TOKEN"] = TOKEN
    words = [*image.command["ENTRYPOINT"], *image.command["CMD"]]
    mark = image.root / "tmp/before"
    mark.touch()
    began = time.monotonic()
    server = subprocess.Popen(in_chroot(image, words, user=image.user))
    try:
        while subprocess.run(
            in_chroot(image, image.command["HEALTHCHECK"], user=image.user),
            stderr=subprocess.DEVNULL,
        ).returncode:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() - began < 300, "it was never healthy"
            time.sleep(0.5)
        say(f"healthy after {time.monotonic() - began:.1f} s")
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        assert owner == int(image.user.split(":")[0]), f"it runs as user {owner}"
        assert ask("GET", "/api/v1/examples", token="")[0] == 401
        while not all(one["run"] for one in ask("GET", "/api/v1/examples")[1]["examples"]):
            assert time.monotonic() - began < 300, "the examples were never at hand"
            time.sleep(0.5)
        assert ask("GET", "/api/v1/jobs")[1]["jobs"] == [], "an example had to be computed"
        say(f"examples at hand after {time.monotonic() - began:.1f} s")
        inspect(say)
        draw(say)
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(90)
    assert code == 0, f"it ended with {code}"
    say("ended on SIGTERM with 0")
    written = subprocess.run(
        ["find", str(image.root), "-xdev", "-newer", str(mark), "-type", "f"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    outside = [w for w in written if not re.match(r"/(data|tmp)/", w.removeprefix(str(image.root)))]
    assert not outside, f"written outside the volume: {outside[:5]}"
    say(f"{len(written)} files written, all of them to /data and /tmp")


def ask(
    method: str, path: str, body: bytes | None = None, *, token: str = TOKEN, **headers: str
) -> Any:
    """Status and JSON of a request."""
    said = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}{path}", data=body, headers={**said, **headers}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read()[:500]


def finished(path: str) -> Any:
    """What became of a job or a drawing, once it has ended."""
    end = time.monotonic() + 600
    while (found := ask("GET", path)[1])["state"] in ("queued", "running"):
        assert time.monotonic() < end, found
        time.sleep(0.5)
    assert found["state"] == "done", found
    return found


def inspect(say: Say) -> None:
    """Upload a zip and look at it: a job in a process of its own, with all libraries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(12):
            for name, grey in (("dark", 40), ("light", 200)):
                pixels = bytes(
                    (grey + 2 * number + x + y) % 256 for y in range(16) for x in range(16)
                )
                archive.writestr(f"{name}/{number}.pgm", b"P5 16 16 255\n" + pixels)
    mark = "synthlift-mark"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="archive"; filename="tones.zip"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    ).encode() + stream.getvalue() + f"\r\n--{mark}--\r\n".encode()  # fmt: skip
    kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    code, data = ask("POST", "/api/v1/data", body, **kind)
    assert code == 201, data
    code, job = ask(
        "POST", "/api/v1/inspections", json.dumps({"data": data["id"]}).encode(), **JSON
    )
    assert code == 202, job
    job = finished(f"/api/v1/jobs/{job['id']}")
    assert job["found"]["classes"] == {"dark": 12, "light": 12}, job["found"]
    say("an uploaded zip was inspected")


def draw(say: Say) -> None:
    """Draw with the pipeline that comes with the package, which needs further libraries."""
    wish = {"model": "embedded", "prompt": "a red seven", "count": 1, "steps": 2}
    code, made = ask("POST", "/api/v1/generations", json.dumps(wish).encode(), **JSON)
    assert code in (201, 202), made
    assert len(finished(f"/api/v1/generations/{made['id']}")["images"]) == 1
    say("a picture was drawn by words")


def main() -> int:
    """Build and try."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--place", type=Path, help="where to build; a temporary folder if left out")
    parser.add_argument("--cache", type=Path, help="what cache mounts are kept in")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", action="store_true", help="keep what was built")
    given = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("needs root and debootstrap", file=sys.stderr)
        return 2
    if os.environ.get("SYNTHLIFT_NAMESPACE") != "1":
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        return subprocess.run(words, env={**os.environ, "SYNTHLIFT_NAMESPACE": "1"}).returncode
    place = given.place or Path(tempfile.mkdtemp(prefix="synthlift-container-"))
    place = place.absolute()
    cache = (given.cache or place / "cache").absolute()
    cache.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    args = dict(one.partition("=")[::2] for one in given.arg)
    builder = Builder(place, cache=cache, args=args, say=say)
    try:
        for stage in read_dockerfile((REPOSITORY / "Dockerfile").read_text()):
            image = builder.build(stage)
        attempt(image, say)
    finally:
        for root in place.glob("stage-*"):
            for target in ("dev/shm", "proc"):
                subprocess.run(["umount", str(root / target)], stderr=subprocess.DEVNULL)
            if not given.keep:
                remove(root)
        if given.place is None and not given.keep:
            remove(place)
    print("the container works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
