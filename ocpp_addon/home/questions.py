"""Questions to a charger, one after the other: each is yielded, its outcome is sent back; pure.

A generator of questions ends in good order when what was wanted is so, else with OrderFailed.
"""

from collections.abc import Generator
from typing import TypeVar

from ocpp_addon.errors import GatewayError
from ocpp_addon.home import fields
from ocpp_addon.ocpp.messages import CallError, CallResult, Payload
from ocpp_addon.text import printable

Question = tuple[str, Payload]
_T = TypeVar("_T")
Questions = Generator[Question, CallResult | CallError, _T]

# A setting that is stored but holds only after a restart is as good as accepted.
GOOD = frozenset({"Accepted", "Scheduled", "RebootRequired", "Unlocked"})


class OrderFailed(GatewayError):
    """Tell in a sentence why an order was not carried out; `code` is for programs."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def verdict(outcome: CallResult | CallError) -> str:
    """Return the `status` of an answer, or the code of the charger's CallError.

    OrderFailed where no answer came: then further questions are pointless.
    """
    if isinstance(outcome, CallResult):
        return fields.label(outcome.payload, "status") or "no status"
    if outcome.details.get("origin") == "gateway":
        raise OrderFailed(fields.text(outcome.details, "reason") or "failed", outcome.description)
    return printable(outcome.code, fields.LABEL_LIMIT)


def demand(what: str, action: str, payload: Payload) -> Questions[None]:
    """Ask for something; OrderFailed says that the charger refuses to do `what`."""
    answer = verdict((yield (action, payload)))
    if answer not in GOOD:
        raise refusal(what, answer)


def refusal(what: str, answer: str) -> OrderFailed:
    """Make the sentence for a refusal."""
    return OrderFailed("refused", f"The charger refuses to {what}: {answer}.")
