"""The connection attempts that failed lately, and why, in words; knows no sockets."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from ocpp_addon.text import printable, utc

ATTEMPTS_LIMIT = 200

# code -> (what happened, what a person can do about it)
CODES: dict[str, tuple[str, str]] = {
    "bad_http": (
        "What arrived is not a request that a charger would send.",
        "Usually a scanner or another device. If it is a charger, check that its address starts "
        "with ws:// and that the port is the gateway's.",
    ),
    "head_too_large": (
        "The request was too long.",
        "Check the address in the charger: it ends with /ocpp/ and the charger's id.",
    ),
    "crowded": (
        "Too many connections were open at once without a request.",
        "Nothing to do if it passes; if not, look for the device that opens them.",
    ),
    "header_timeout": (
        "The connection was opened, but no complete request came within the time allowed.",
        "Check the network between charger and gateway; a weak mobile or Wi-Fi signal does this.",
    ),
    "tls_on_plain_port": (
        "An encrypted connection (wss) came to the port for plain connections (ws).",
        "Let the charger's address start with ws://, or use the port for encrypted connections.",
    ),
    "plain_on_tls_port": (
        "A plain connection (ws) came to the port for encrypted connections (wss).",
        "Let the charger's address start with wss://, or use the port for plain connections.",
    ),
    "tls_failed": (
        "The encrypted connection could not be set up.",
        "Try the plain address (ws://) first. Many chargers need the certificate's issuer "
        "installed, or know only old kinds of encryption.",
    ),
    "tls_untrusted": (
        "The charger does not trust the gateway's certificate.",
        "Install the certificate's issuer in the charger, use a certificate of a public issuer "
        "with the name that the charger dials, or use ws://.",
    ),
    "tls_too_old": (
        "Charger and gateway know no common kind of encryption.",
        "Update the charger's firmware, or use ws:// in your own network.",
    ),
    "tls_no_certificate": (
        "The charger showed no certificate of its own that the gateway accepts.",
        "Install a client certificate in the charger, or empty the option client_ca.",
    ),
    "bad_path": (
        "The address does not name one charger.",
        "Let the charger's address end with /ocpp/ and its id, and nothing behind it.",
    ),
    "bad_id": (
        "The charger's id cannot be used.",
        "Choose an id of at most 64 letters, digits, dots, dashes or blanks.",
    ),
    "reserved_id": (
        "The charger's id is a word that the MQTT topics use.",
        "Choose another id, such as the charger's serial number.",
    ),
    "unknown_charger": (
        "No charger with this id is known, and unknown ones are refused.",
        "Add the charger, or set the option unknown_chargers to ask.",
    ),
    "turned_away": (
        "A person refused this charger.",
        "Add it by its id if it may connect after all.",
    ),
    "wrong_password": (
        "The password is wrong.",
        "Enter the same password in the charger and here.",
    ),
    "missing_password": (
        "The charger sent no password, but this id is protected by one.",
        "Enter the password in the charger, or remove it here.",
    ),
    "bad_credentials": (
        "The user name and password arrived in a form that cannot be read.",
        "Enter the password in the charger again; if it stays so, its firmware is at fault.",
    ),
    "throttled": (
        "There were too many wrong passwords for this id from this address.",
        "Correct the password in the charger and wait a minute.",
    ),
    "busy": (
        "Too many passwords had to be checked at once.",
        "Nothing to do: the charger will try again by itself.",
    ),
    "no_common_subprotocol": (
        "The charger speaks no version of OCPP that the gateway knows.",
        "Set the charger to OCPP 1.6J (JSON), 2.0.1 or 2.1.",
    ),
    "other_connection_alive": (
        "Another charger with this id is connected and answers.",
        "Give each charger an id of its own. With a password, a newer connection replaces the old.",
    ),
    "takeover_throttled": (
        "Connections with this id replaced each other too often.",
        "Two chargers probably use the same id: give each an id of its own.",
    ),
    "known_full": (
        "Too many chargers are known to let strangers in.",
        "Remove those that do not exist, and set the option unknown_chargers to ask.",
    ),
    "pending_full": (
        "Too many new chargers wait for approval.",
        "Approve or refuse those that wait.",
    ),
    "browser_origin": (
        "A web page tried to connect as a charger.",
        "If nobody tried a charger simulator in a browser, a web page you visited did it; "
        "it was refused.",
    ),
    "not_a_websocket": (
        "A plain web request came, not a charger's WebSocket.",
        "This address is for chargers, not for browsers. In a charger choose OCPP-J (JSON, "
        "WebSocket), not SOAP.",
    ),
}


@dataclass(slots=True)
class Attempt:
    """Tell of one way of failing, and how often it happened."""

    first_at: datetime
    last_at: datetime
    count: int
    address: str
    charger_id: str | None
    code: str
    reason: str
    advice: str

    def as_json(self) -> dict[str, object]:
        """Return it for the API."""
        return asdict(self) | {"first_at": utc(self.first_at), "last_at": utc(self.last_at)}


class Attempts:
    """Remember the last failures; the same one again only counts."""

    def __init__(self) -> None:
        self.on_added: Callable[[Attempt], None] | None = None
        self._attempts: OrderedDict[tuple[str, str | None, str], Attempt] = OrderedDict()

    def add(
        self, now: datetime, address: str, charger_id: str | None, code: str, **facts: object
    ) -> Attempt:
        """Note a failure and return its entry.

        `code` is one of CODES. `facts` say more: `detail`, a sentence, takes the place of the
        table's reason; others are added to it as `name: value`.
        """
        reason, advice = CODES[code]
        name = None if charger_id is None else printable(charger_id)
        key = (address, name, code)
        attempt = self._attempts.pop(key, None) or Attempt(
            now, now, 0, address, name, code, reason, advice
        )
        attempt.last_at = now
        attempt.count += 1
        attempt.reason = _with_facts(reason, facts)
        self._attempts[key] = attempt
        if len(self._attempts) > ATTEMPTS_LIMIT:
            self._attempts.popitem(last=False)
        if self.on_added is not None:
            self.on_added(attempt)
        return attempt

    def newest_first(self) -> list[Attempt]:
        """Return all entries."""
        return list(reversed(self._attempts.values()))

    def as_json(self) -> list[dict[str, object]]:
        """Return all entries as JSON objects, newest first."""
        return [attempt.as_json() for attempt in self.newest_first()]


def _with_facts(reason: str, facts: dict[str, object]) -> str:
    others = ", ".join(
        f"{name.replace('_', ' ')}: {printable(value)}"
        for name, value in facts.items()
        if name != "detail"
    )
    text = printable(facts.get("detail", reason), 200)
    return f"{text} ({others})" if others else text
