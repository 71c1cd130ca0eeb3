"""A certificate that is renewed while the gateway runs, and renewals that go wrong."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ocpp_addon.endpoint import certificate
from ocpp_addon.endpoint.certificate import Certificate
from tests.support.patience import until


def issue(folder: Path, name: str) -> Path:
    """Make a certificate for a name and its key."""
    folder.mkdir(exist_ok=True)
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name}"
        f" -keyout {folder}/key.pem -out {folder}/cert.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return issue(tmp_path / "used", "old")


@pytest.fixture
async def used(files: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Certificate]:
    monkeypatch.setattr(certificate, "LOOK_EVERY", 0.01)
    one = Certificate(files / "cert.pem", files / "key.pem")
    looking = asyncio.create_task(one.run(), name="certificate")
    yield one
    looking.cancel()
    await asyncio.wait({looking})


async def shown(one: Certificate) -> str:
    """Return the name in the certificate that a charger sees."""
    async with await asyncio.start_server(
        lambda _, w: w.close(), "127.0.0.1", 0, ssl=one.context
    ) as s:
        port = s.sockets[0].getsockname()[1]
        der = await asyncio.to_thread(peer_certificate, port)
    text = ssl.DER_cert_to_PEM_cert(der)
    found = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "multiline"],
        input=text.encode(), capture_output=True, check=True,
    )  # fmt: skip
    return found.stdout.decode().split()[-1]


def peer_certificate(port: int) -> bytes:
    context = ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as tls:
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return der


async def test_takes_a_renewed_certificate(
    used: Certificate, files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert await shown(used) == "old"
    new = issue(tmp_path / "new", "new")
    shutil.copy(new / "cert.pem", files / "cert.pem")
    await until(lambda: "cannot be used yet" in caplog.text)
    assert await shown(used) == "old", "half of a renewal changes nothing"
    shutil.copy(new / "key.pem", files / "key.pem")
    await until(lambda: "is used from now on" in caplog.text)
    assert await shown(used) == "new"


async def test_follows_links_that_lead_elsewhere_now(
    tmp_path: Path, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As certbot keeps its files."""
    caplog.set_level("INFO")
    (tmp_path / "live").mkdir()
    for name in ("cert.pem", "key.pem"):
        (tmp_path / "live" / name).symlink_to(files / name)
    one = Certificate(tmp_path / "live/cert.pem", tmp_path / "live/key.pem")
    new = issue(tmp_path / "new", "new")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / "live" / name).unlink()
        (tmp_path / "live" / name).symlink_to(new / name)
    one._look()
    assert await shown(one) == "new"


async def test_keeps_the_certificate_while_its_files_are_away(
    used: Certificate, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.rename(files / "cert.pem", files / "away.pem")
    await until(lambda: "cannot be used yet" in caplog.text)
    assert await shown(used) == "old"


def test_refuses_broken_files(files: Path) -> None:
    (files / "key.pem").write_text("no key")
    with pytest.raises(ssl.SSLError):
        Certificate(files / "cert.pem", files / "key.pem")
    with pytest.raises(OSError, match="No such file"):
        Certificate(files / "missing.pem", files / "key.pem")
