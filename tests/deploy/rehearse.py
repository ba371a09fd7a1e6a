"""Builds and runs the image of deploy/Dockerfile without a container engine: `make rehearse`, as root.

Every instruction is carried out as it is written, in an overlay of this machine's own root file system
(which has to have Python) instead of the base image: nothing outside of a temporary directory is changed.
Then the root is made read-only, and the gateway is started as the image's user, with no capability and no
new privileges, in a network of its own. It has to become healthy, answer, keep its books, and stop when told
to.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from .dockerfile import Stage, command_of, read, variables

ROOT: Final = Path(__file__).parents[2]
NEW_NAMESPACES: Final = 0x00020000
NEW_NETWORK: Final = 0x40000000
UP: Final = 0x1 | 0x40
SET_FLAGS: Final = 0x8914
PATIENCE: Final = 60.0


class Root:
    """A root file system over this machine's."""

    def __init__(self, base: Path, name: str) -> None:
        self.path = base / name
        upper, work = base / f"{name}.upper", base / f"{name}.work"
        for each in (self.path, upper, work):
            each.mkdir()
        mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", self.path)
        for kernels in ("dev", "proc"):
            mount("--rbind", f"/{kernels}", self.path / kernels)
        # The image's Python may be read by all; this machine's may be below root's home.
        os.chmod(self.path / "root", 0o711)  # noqa: PTH101, S103
        self.environ = {"PATH": os.environ["PATH"], "HOME": "/root"}
        self.directory = "/"

    def run(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        where = ["chroot", str(self.path), "env", f"--chdir={self.directory}", *command]
        return subprocess.run(where, env=self.environ, check=True, text=True, **options)

    def build(self, stage: Stage, given: dict[str, str], others: dict[str, Root]) -> None:
        """Carry out a stage's instructions."""
        for step in stage.steps:
            print(f"  {step.word} {step.text[:100]}", flush=True)
            if step.word == "ARG":
                name, _, value = step.text.partition("=")
                self.environ[name] = given.get(name, value)
            elif step.word == "WORKDIR":
                self.directory = step.text
                (self.path / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif step.word == "RUN":
                self.run("/bin/sh", "-c", step.text)
            elif step.word == "COPY":
                self.copy(step.items, others[step.flags["from"]].path if "from" in step.flags else ROOT)
        found = {
            name: value.replace("$PATH", self.environ["PATH"]) for name, value in variables(stage).items()
        }
        self.environ |= found

    def copy(self, items: list[str], origin: Path) -> None:
        """Copy files, or what is in a directory."""
        *sources, target = items
        there = self.path / os.path.join(self.directory, target).lstrip("/")  # noqa: PTH118
        for source in sources:
            found = origin / source.lstrip("/")
            if found.is_dir():
                skipped = shutil.ignore_patterns("__pycache__", "out", "build")
                shutil.copytree(found, there, symlinks=True, dirs_exist_ok=True, ignore=skipped)
            else:
                there.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, there)


def mount(*arguments: object) -> None:
    """See mount(8)."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def alone(flags: int) -> None:
    """See unshare(2)."""
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "cannot have namespaces of our own")


def loopback_up() -> None:
    """A new network has nothing but an interface that is down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh22x", b"lo", UP))


class Running:
    """The image, run."""

    def __init__(self, root: Root, stage: Stage) -> None:
        self.root, self.stage = root, stage
        user, _, group = stage.last("USER").text.partition(":")
        self.become = [
            "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all", "--inh-caps=-all", "env", f"--chdir={root.directory}",
        ]  # fmt: skip

    def command(self, *command: str) -> list[str]:
        """Return a command as the image's user, in its root."""
        return ["chroot", str(self.root.path), *self.become, *command]

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end, whatever that is."""
        return subprocess.run(
            self.command(*command), env=self.root.environ, check=False, text=True, capture_output=True
        )

    def rehearse(self, base: Path) -> None:
        """Start it, look at it, stop it."""
        out = (base / "out").open("w+")
        entry = [*self.stage.last("ENTRYPOINT").items, *self.stage.last("CMD").items]
        with (
            out,
            subprocess.Popen(
                self.command(*entry), env=self.root.environ, stdout=out, stderr=subprocess.STDOUT
            ) as gateway,
        ):
            try:
                self.look(gateway, Path(out.name))
            except BaseException:
                print(Path(out.name).read_text())
                gateway.kill()
                raise

    def look(self, gateway: subprocess.Popen[bytes], out: Path) -> None:
        """Expect of it what its operators do."""
        check = command_of(self.stage.last("HEALTHCHECK"))
        ends = time.monotonic() + PATIENCE
        while (found := self.ask(*check)).returncode != 0:
            assert gateway.poll() is None, "it has ended"
            assert time.monotonic() < ends, found.stderr
            time.sleep(0.1)
        print("healthy")
        said = out.read_text()
        key = said.partition("  key ")[2].split()[0]
        asked = f"""
import json, urllib.request as r
body = {{"model": "sim/echo", "messages": [{{"role": "user", "content": "hello"}}]}}
headers = {{"Authorization": "Bearer {key}", "Content-Type": "application/json"}}
url = "http://127.0.0.1:8000/v1/chat/completions"
with r.urlopen(r.Request(url, json.dumps(body).encode(), headers)) as reply:
    print(reply.read().decode())
with r.urlopen("http://127.0.0.1:9464/metrics") as reply:
    assert b"headrace_requests_total" in reply.read()
"""
        answer = self.ask("python3", "-c", asked)
        assert answer.returncode == 0, answer.stderr
        print("answers", json.loads(answer.stdout)["usage"])
        verified = self.ask("headrace", "verify", "--json")
        assert json.loads(verified.stdout)["ok"] is True, verified.stderr
        print("its books are right")
        for place in ("/x", "/opt/headrace/x", "/etc/x", "/usr/x"):
            refused = self.ask("touch", place)
            assert refused.returncode != 0, place
            assert "Read-only file system" in refused.stderr, refused.stderr
        print("its root is read-only")
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(PATIENCE) == 0
        assert '"event":"drained"' in out.read_text()
        print("stops when told to")


def main(lock: str) -> None:
    """Build and run it."""
    alone(NEW_NAMESPACES)
    mount("--make-rprivate", "/")
    with tempfile.TemporaryDirectory(prefix="headrace-image-") as directory:
        base = Path(directory)
        mount("-t", "tmpfs", "-o", "mode=0755,size=2g", "tmpfs", base)
        try:
            rehearse(base, lock)
        finally:
            subprocess.run(["umount", "--recursive", "--lazy", str(base)], check=True)


def rehearse(base: Path, lock: str) -> None:
    """Build and run it below a directory."""
    first, last = read((ROOT / "deploy/Dockerfile").read_text())
    print("build", flush=True)
    build, image = Root(base, "build"), Root(base, "image")
    build.build(first, {"LOCK": lock}, {})
    image.build(last, {}, {"build": build})
    (data,) = last.last("VOLUME").items
    kept = base / "data"
    shutil.copytree(image.path / data.lstrip("/"), kept)
    user = int(last.last("USER").text.partition(":")[0])
    os.chown(kept, user, user)
    kept.chmod(0o700)
    mount("-t", "tmpfs", "-o", "mode=1777,size=64m", "tmpfs", image.path / "tmp")
    mount("--bind", kept, image.path / data.lstrip("/"))
    mount("-o", "remount,bind,ro", image.path)
    print("run", flush=True)
    alone(NEW_NETWORK)
    loopback_up()
    Running(image, last).rehearse(base)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "requirements.lock")
