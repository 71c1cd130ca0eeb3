"""What a scenario measured, against what is promised."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured value; `loose` ones (time, memory) depend on the machine and its other work."""

    name: str
    value: str
    promise: str
    kept: bool
    loose: bool = False


@dataclass
class Report:
    """The figures of one run of a scenario."""

    figures: list[Figure] = field(default_factory=list)

    def equal(self, name: str, value: object, promised: object) -> None:
        """Note a value that must be one and no other."""
        self.figures.append(Figure(name, _text(value), _text(promised), value == promised))

    def at_most(
        self, name: str, value: float, limit: float, unit: str = "", *, loose: bool = False
    ) -> None:
        """Note a value that must not be larger."""
        self.figures.append(
            Figure(name, _number(value, unit), f"≤ {_number(limit, unit)}", value <= limit, loose)
        )

    def at_least(self, name: str, value: float, limit: float, unit: str = "") -> None:
        """Note a value that must not be smaller."""
        self.figures.append(
            Figure(name, _number(value, unit), f"≥ {_number(limit, unit)}", value >= limit)
        )

    def note(self, name: str, value: float | str, unit: str = "") -> None:
        """Note a value that nothing is promised of."""
        text = value if isinstance(value, str) else _number(value, unit)
        self.figures.append(Figure(name, text, "", True))

    @property
    def broken(self) -> list[Figure]:
        """Return the figures whose promise is not kept."""
        return [one for one in self.figures if not one.kept]

    def rows(self, number: str) -> list[str]:
        """Return the figures as rows of a table, each starting with the scenario's number."""
        return [
            f"| {number} | {one.name} | {one.value}{'' if one.kept else ' **(not kept)**'}"
            f" | {one.promise} |"
            for one in self.figures
        ]

    def __str__(self) -> str:
        return "\n".join(
            f"  {'ok ' if one.kept else 'BAD'} {one.name}: {one.value}"
            + (f"  (promised {one.promise})" if one.promise else "")
            for one in self.figures
        )


def _text(value: object) -> str:
    return f"{value:,}" if type(value) is int else str(value)


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip()
