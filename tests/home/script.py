"""A charger that answers questions by a rule, without any wire."""

from collections.abc import Callable
from typing import Any

from ocpp_addon.home.questions import Question, Questions
from ocpp_addon.ocpp.messages import CallError, CallResult, Payload

Rule = Callable[[str, Payload], Payload | CallError]


def report(reason: str, sentence: str) -> CallError:
    """Return what the gateway reports where no answer came."""
    return CallError("1", "GenericError", sentence, {"origin": "gateway", "reason": reason})


def carry_out(questions: Questions[Any], rule: Rule) -> list[Question]:
    """Ask one question after the other and return them all; raises what the questions raise."""
    asked: list[Question] = []
    try:
        question = next(questions)
        while True:
            asked.append(question)
            assert len(asked) < 100, "it never ends"
            answer = rule(*question)
            outcome = answer if isinstance(answer, CallError) else CallResult("1", answer)
            question = questions.send(outcome)
    except StopIteration:
        return asked
