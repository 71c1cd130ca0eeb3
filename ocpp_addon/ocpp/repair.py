"""Mend the known ways in which chargers break JSON, where only one reading is possible."""

MAX_MISSING_CLOSERS = 4

_CLOSER = {"[": "]", "{": "}"}
_NEVER_LAST = frozenset(",:[{")


def repair(text: str) -> tuple[str, tuple[str, ...]]:
    """Return `text` mended, and in words what was mended; unchanged and () if nothing applies.

    Commas that have no value before or after them are dropped, a missing value becomes null,
    and brackets missing at the end are closed.
    """
    out: list[str] = []  # the mended text, one token or stretch of white space an item
    last = ""  # the last character that means something
    last_at = -1  # its index in `out`
    open_brackets: list[str] = []
    found: dict[str, None] = {}

    def drop_comma() -> None:
        nonlocal last, last_at
        del out[last_at]
        last_at = next((i for i in range(len(out) - 1, -1, -1) if not out[i].isspace()), -1)
        last = out[last_at][-1] if last_at >= 0 else ""
        found["superfluous comma dropped"] = None

    position, end = 0, len(text)
    while position < end:
        character = text[position]
        if character == '"':
            stop = _end_of_string(text, position)
            if stop < 0:
                return text, ()  # cut off inside a string: nobody knows what is missing
            out.append(text[position:stop])
            last, last_at, position = '"', len(out) - 1, stop
            continue
        if character.isspace():
            out.append(character)
            position += 1
            continue
        if character == "," and last in _NEVER_LAST:
            if last == ":":
                out.append("null")
                found["missing value read as null"] = None
            else:
                found["superfluous comma dropped"] = None
                position += 1
                continue
        elif character in "]}":
            if not open_brackets or _CLOSER[open_brackets[-1]] != character:
                return text, ()
            if last == ",":
                drop_comma()
            elif last == ":":
                out.append("null")
                found["missing value read as null"] = None
            open_brackets.pop()
        elif character in "[{":
            open_brackets.append(character)
        out.append(character)
        last, last_at, position = character, len(out) - 1, position + 1
    if open_brackets:
        if len(open_brackets) > MAX_MISSING_CLOSERS or last in _NEVER_LAST:
            return text, ()
        out.extend(_CLOSER[bracket] for bracket in reversed(open_brackets))
        found["missing bracket closed"] = None
    return ("".join(out), tuple(found)) if found else (text, ())


def _end_of_string(text: str, start: int) -> int:
    position = start + 1
    while True:
        position = text.find('"', position)
        if position < 0:
            return -1
        backslashes = 0
        while text[position - 1 - backslashes] == "\\":
            backslashes += 1
        position += 1
        if backslashes % 2 == 0:
            return position
