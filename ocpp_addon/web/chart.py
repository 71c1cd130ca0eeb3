"""Plots of samples as SVG; a plot is an image of its own, since its style is inline."""

import math
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import pygal
from pygal.style import Style

# It hooks the import system, in an old way that Python warns of, for plugins that are not here.
sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, pygal.PluginImportFixer)]

POINTS_LIMIT = 300  # more would not be seen
LABELS = 6
LEAST = 0.1  # kW or kWh: the top of an axis where there is nothing to see
_GREY, _LINE = "#7a8794", "#0f9d86"  # readable on light and on dark

Point = tuple[datetime, float]


def svg(
    unit: str,
    points: Sequence[Point],
    since: datetime,
    until: datetime,
    *,
    zone: tzinfo | None = None,
    narrow: bool = False,
) -> bytes:
    """Return a line over a time, in a zone or that of the gateway; `narrow` is for phones."""
    heights = _heights(max([LEAST, *(value for _, value in points)]))
    chart = pygal.XY(
        width=360 if narrow else 720,
        height=200 if narrow else 220,
        margin=8,
        margin_right=24,
        show_legend=False,
        show_dots=False,
        fill=True,
        stroke_style={"width": 2},
        js=[],  # pygal's would be fetched from the internet
        disable_xml_declaration=True,
        no_data_text="No samples yet",
        x_labels=_times(since, until, LABELS // 2 if narrow else LABELS, zone),
        xrange=(since.timestamp(), until.timestamp()),
        x_value_formatter=_clock(until - since, zone),
        y_labels=heights,
        range=(0, heights[-1]),
        value_formatter=lambda value: f"{value:g} {unit}",
        show_x_guides=False,
        style=Style(
            background="transparent",
            plot_background="transparent",
            foreground=_GREY,
            foreground_strong=_GREY,
            foreground_subtle=_GREY,
            guide_stroke_color=_GREY,
            guide_stroke_dasharray="2,4",
            major_guide_stroke_dasharray="2,4",
            opacity=".18",
            colors=(_LINE,),
            font_family="system-ui, sans-serif",
            label_font_size=13,
            major_label_font_size=13,
            no_data_font_size=18,
        ),
    )
    chart.add(unit, [(at.timestamp(), value) for at, value in _thinned(points)])
    return str(chart.render()).encode()


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Return at most the points that can be seen, the highest of each stretch."""
    size = -(-len(points) // POINTS_LIMIT)
    if size <= 1:
        return points
    stretches = (points[start : start + size] for start in range(0, len(points), size))
    return [max(stretch, key=lambda point: point[1]) for stretch in stretches]


def _heights(most: float) -> list[float]:
    """Return what an axis tells, from 0 to a round figure above the most."""
    size = 10 ** math.floor(math.log10(most))
    steps = (0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 2.5)
    step = next(step for step in steps if 4 * step * size >= most) * size
    return [round(step * count, 6) for count in range(math.ceil(most / step) + 1)]


def _times(since: datetime, until: datetime, most: int, zone: tzinfo | None) -> list[float]:
    """Return full minutes, hours or days of a zone within a time, hardly more than `most`."""
    span = (until - since).total_seconds()
    steps = (60, 300, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400)
    days = (86_400 * count for count in range(2, 10_000))
    step = next((step for step in (*steps, *days) if span / step <= most), span)
    midnight = since.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    first = midnight + math.ceil((since.timestamp() - midnight) / step) * step
    return [first + step * count for count in range(int((until.timestamp() - first) // step) + 1)]


def _clock(span: timedelta, zone: tzinfo | None) -> Callable[[float], str]:
    pattern = "%Y-%m-%d" if span > timedelta(days=2) else "%H:%M"
    return lambda seconds: datetime.fromtimestamp(seconds, UTC).astimezone(zone).strftime(pattern)
