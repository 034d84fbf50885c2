"""The image, without Docker: the linter, what goes into the build, and the gateway in the root file system that it would have."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import processes
from harness.rawhttp import RawResponse

FOLDER = processes.ROOT / "deploy" / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What is copied into the image."""
    folder = tmp_path_factory.mktemp("image") / "root"
    binary = folder.parent / "sse-gateway"
    binary.symlink_to(processes.gateway_binary())
    run("sh", FOLDER / "rootfs", binary, folder)
    # Docker puts it there.
    (folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def contained(root, tmp_path, monkeypatch, gateway):
    """`gateway`, with nothing but that file system."""
    user = re.search(r"^USER (\d+:\d+)$", DOCKERFILE, re.MULTILINE)[1]
    (entry,) = re.findall(r'^ENTRYPOINT \["(.*)"\]$', DOCKERFILE, re.MULTILINE)
    # Who is not root is so in a namespace of his own, where there are no other users.
    command = f"chroot --userspec={user}" if os.getuid() == 0 else "unshare --user --map-root-user chroot"
    script = tmp_path / "sse-gateway"
    script.write_text(f'#!/bin/sh\nexec {command} {root} {entry} "$@"\n')
    script.chmod(0o755)
    root.parent.chmod(0o755)
    monkeypatch.setenv("SSE_GATEWAY_BIN", str(script))
    return gateway


def test_the_linter_has_no_complaint():
    run(Path(sys.executable).parent / "hadolint", "--failure-threshold", "style", FOLDER / "Dockerfile")


def test_the_build_has_all_files_that_cargo_looks_for(tmp_path):
    patterns = [line for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line[0] != "#"]
    for name in [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(processes.ROOT / name, tmp_path / name)
    assert patterns[0] == "*"
    run("cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1", cwd=tmp_path)
    for name in re.findall(r"(?:sse-gateway|deploy)/\S*[a-z]", DOCKERFILE.split("COPY . .")[1].split("FROM")[0]):
        if not name.startswith("target/"):
            assert os.access(tmp_path / name, os.X_OK), name


def test_the_variables_are_flags_and_open_the_ports():
    variables = dict(re.findall(r"(SSE_GATEWAY_\w+)=(\S+)", DOCKERFILE))
    ports = re.search(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[1].split()
    assert variables == {
        "SSE_GATEWAY_LISTEN": f"0.0.0.0:{ports[0]}",
        "SSE_GATEWAY_ADMIN_LISTEN": f"0.0.0.0:{ports[1]}",
    }


def test_the_gateway_runs_with_nothing_else_and_finds_names(contained, root, starlette):
    own = contained(starlette.url.replace("127.0.0.1", "localhost"))
    assert os.readlink(f"/proc/{own.pid}/root") == str(root)
    with RawResponse(own.url + "/quiet") as stream:
        (event,) = stream.events(1)
        assert event.data == "hello"


def test_there_is_nothing_in_it_to_run_but_the_gateway(root):
    programs = [path.name for path in root.rglob("*") if path.is_file() and os.access(path, os.X_OK)]
    libraries = [name for name in programs if ".so" in name]
    assert sorted(set(programs) - set(libraries)) == ["sse-gateway"]
    assert len(libraries) <= 5
    assert (root / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 100_000
