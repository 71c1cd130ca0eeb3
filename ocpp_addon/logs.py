"""How log lines look: one line per event on standard error, in local time."""

import logging

# Libraries that report every message or request at INFO, secrets included, and what they may still
# say; ocpp adds a traceback to each refusal.
_TALKATIVE = {
    "aiohttp.access": logging.WARNING,
    "ocpp": logging.CRITICAL,
    "websockets": logging.WARNING,
}


def set_up(level: str) -> None:
    """Log to standard error from `level` (an option's word, `info` for one) upwards."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    for name, lowest in _TALKATIVE.items():
        logging.getLogger(name).setLevel(lowest)
