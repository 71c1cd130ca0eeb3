"""The OCPP versions as values: everything that differs between them on the wire."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """Describe one version of OCPP-J."""

    number: str
    subprotocol: str
    schemas: str  # folder of its JSON schemas
    request_suffix: str  # of the schema files of Calls
    formation: str  # error code: the message has a wrong form
    occurrence: str  # error code: a field is missing or one too many
    has_send: bool = False  # message types 5 and 6 exist
    answers_unreadable: bool = True  # CallError with id "-1" to what cannot be read


# The spellings of 1.6 are kept on purpose by its errata sheet (OCPP-J errata 5.1, 5.2).
V16 = Version(
    "1.6",
    "ocpp1.6",
    "v16",
    "",
    "FormationViolation",
    "OccurenceConstraintViolation",
    answers_unreadable=False,
)
V201 = Version(
    "2.0.1", "ocpp2.0.1", "v201", "Request", "FormatViolation", "OccurrenceConstraintViolation"
)
V21 = Version(
    "2.1",
    "ocpp2.1",
    "v21",
    "Request",
    "FormatViolation",
    "OccurrenceConstraintViolation",
    has_send=True,
)
VERSIONS = (V16, V201, V21)
