"""The certificate that chargers see: loaded at start, and again when its files were renewed."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import NoReturn

log = logging.getLogger(__name__)

LOOK_EVERY = 600.0  # seconds


class Certificate:
    """Hold the TLS context for chargers: TLS 1.2 or newer; `client_ca` asks for certificates.

    Raises OSError or ssl.SSLError for files that are missing or broken.
    """

    def __init__(self, certfile: Path, keyfile: Path, client_ca: Path | None = None) -> None:
        self._files = certfile, keyfile
        self._loaded = self._state()
        self._problem = ""
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(*self._files)
        if client_ca is not None:
            self.context.load_verify_locations(client_ca)
            self.context.verify_mode = ssl.CERT_REQUIRED

    async def run(self) -> NoReturn:
        """Take a renewed certificate, for connections from then on; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._look()

    def _look(self) -> None:
        try:
            state = self._state()
            if state == self._loaded:
                return
            # Half of a renewal would spoil the context in use, so another one tries it first.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            if str(error) != self._problem:
                log.warning("The renewed certificate cannot be used yet: %s", error)
            self._problem = str(error)
            return
        self._loaded, self._problem = state, ""
        log.info("The renewed certificate is used from now on")

    def _state(self) -> list[tuple[int, int]]:
        """Return what tells whether the files have changed; links are followed."""
        return [
            (found.st_mtime_ns, found.st_ino) for found in (file.stat() for file in self._files)
        ]
