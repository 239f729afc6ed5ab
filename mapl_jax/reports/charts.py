"""Drawings as SVG: text stays text, and colors are those of the page (`mapl_jax.reports.pages`).

Coordinates of a drawing are data coordinates; a `Plot` knows where they lie on the paper.
"""

import dataclasses
import html
import math
from collections.abc import Callable, Sequence

import numpy as np

from mapl_jax.reports.pages import drawing_style

WIDTH, HEIGHT = 380, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 10, 40
_DIAMOND = 'd="M0-6L6 0L0 6L-6 0Z"'
_TITLE, _GAP = 26, 16  # of drawings that carry their titles
_NESTED = f'<svg width="{WIDTH}" height="{HEIGHT}" overflow="visible" '
_LETTER = 6.7  # mean width of a letter, at 12 px

Span = tuple[float, float]
QUARTERS = [0.0, 0.25, 0.5, 0.75, 1.0]  # ticks of an axis of all shares
_POINTS = 600  # of a line


@dataclasses.dataclass(frozen=True)
class Picture:
    """A drawing with its title and a sentence on how to read it."""

    title: str
    caption: str
    svg: str = dataclasses.field(repr=False)

    def _repr_svg_(self) -> str:
        """What notebooks show: title and drawing, on white paper, with their own colors."""
        return Gallery([self])._repr_svg_()


class Gallery(list[Picture]):
    """Pictures that a notebook shows side by side, two in a row."""

    def titled(self, *titles: str) -> "Gallery":
        """The pictures of these titles, in this order."""
        by_title = {picture.title: picture for picture in self}
        return Gallery(by_title[title] for title in titles)

    def _repr_svg_(self) -> str:
        cell = WIDTH + _GAP, HEIGHT + _TITLE + _GAP
        width, height = min(len(self), 2) * cell[0], -(-len(self) // 2) * cell[1]
        words = html.escape("; ".join(picture.title for picture in self))
        drawings = "".join(
            f'<g transform="translate({index % 2 * cell[0]} {index // 2 * cell[1]})">'
            f'<text x="4" y="18" style="font-weight: 600">{html.escape(picture.title)}</text>'
            f'<g transform="translate(0 {_TITLE})">{picture.svg.replace("<svg ", _NESTED, 1)}</g>'
            "</g>"
            for index, picture in enumerate(self)
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{1.15 * width:.0f}" role="img" '
            f'viewBox="0 0 {width} {height}" aria-label="{words}">{drawing_style()}'
            f'<rect width="{width}" height="{height}" fill="#fff"/>{drawings}</svg>'
        )


def plain(value: float) -> str:
    """A tick's number."""
    if value and abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.6g}".replace("-", "−")


def percent(value: float) -> str:
    """A tick's fraction."""
    return f"{100 * value:g} %"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within a span, about `count` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def span(values: Sequence[float] | np.ndarray) -> Span:
    """The span of finite values with some room around; never empty."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(np.min(finite)), float(np.max(finite))
    extra = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - extra, high + extra


def share_span(values: Sequence[float] | np.ndarray) -> Span:
    """The span of an axis of accuracies: whole tenths around the values and around chance."""
    finite = np.asarray(values, np.float64)
    finite = np.append(finite[np.isfinite(finite)], 0.5)
    low, high = math.floor(10 * np.min(finite) - 0.3), math.ceil(10 * np.max(finite) + 0.3)
    return max(low, 0) / 10, min(high, 10) / 10


def thinned(points: np.ndarray, most: int = _POINTS) -> np.ndarray:
    """Evenly chosen points, both ends among them."""
    if len(points) <= most:
        return points
    return points[np.linspace(0, len(points) - 1, most).round().astype(int)]


class Plot:
    """Axes to draw on."""

    def __init__(
        self,
        x: Span,
        y: Span,
        *,
        x_label: str = "",
        y_format: Callable[[float], str] = plain,
        x_format: Callable[[float], str] = plain,
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[float] | None = None,
        legend: Sequence[tuple[str, str]] = (),
    ):
        """Draws grid and axes.

        Args:
            x_ticks: places and texts (lines parted by newlines); otherwise round numbers.
            legend: classes of marks and their texts, above the axes.
        """
        self.x, self.y = x, y
        self.parts: list[str] = []
        lines = self._legend(legend)
        self.top = _TOP + 18 * lines + (4 if lines else 0)
        below = max([text.count("\n") for _, text in x_ticks] if x_ticks else [0], default=0)
        self.bottom = HEIGHT - _BOTTOM + (14 if not x_label else 0) - 14 * below
        grid = []
        for value in y_ticks if y_ticks is not None else ticks(*y):
            at = self.at_y(value)
            grid.append(_across("grid", at))
            grid.append(_text(_LEFT - 7, at + 4, y_format(value), "soft", "end"))
        grid.append(_across("axis", self.bottom))
        for value, text in x_ticks or [(value, x_format(value)) for value in ticks(*x)]:
            for row, part in enumerate(text.split("\n")):
                grid.append(
                    _text(self.at_x(value), self.bottom + 17 + 14 * row, part, "soft", "middle")
                )
        if x_label:
            middle = (_LEFT + WIDTH - _RIGHT) / 2
            grid.append(_text(middle, HEIGHT - 5, x_label, "soft", "middle"))
        self.parts = grid + self.parts

    def at_x(self, value: float) -> float:
        """Where a data coordinate lies on the paper, no further out than the axes."""
        low, high = self.x
        share = (value - low) / (high - low) if high > low else 0.5
        return _LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _RIGHT - _LEFT)

    def at_y(self, value: float) -> float:
        """Where a data coordinate lies on the paper, no further out than the axes."""
        low, high = self.y
        share = (value - low) / (high - low) if high > low else 0.5
        return self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - self.top)

    def curve(self, points: Sequence[tuple[float, float]] | np.ndarray, kind: str) -> None:
        """A line through points."""
        path = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="curve {kind}" points="{path}"/>')

    def dots(
        self,
        points: Sequence[tuple[float, float]] | np.ndarray,
        kind: str,
        notes: Sequence[str] = (),
    ) -> None:
        """Points, each with a note that shows when one points at it."""
        classes = kind if "hollow" in kind else f"dot {kind}"
        for index, (x, y) in enumerate(points):
            at = f'cx="{self.at_x(x):.1f}" cy="{self.at_y(y):.1f}"'
            note = _title(notes[index]) if notes else ""
            self.parts.append(f'<circle class="{classes}" {at} r="4">{note}</circle>')

    def cloud(self, points: Sequence[tuple[float, float]] | np.ndarray, kind: str) -> None:
        """Many points, as one path."""
        path = "".join(f"M{self.at_x(x):.1f} {self.at_y(y):.1f}h0" for x, y in points)
        self.parts.append(f'<path class="cloud {kind}" d="{path}"/>')

    def bar(self, x: Span, y: Span, kind: str, note: str = "") -> None:
        """A filled box."""
        left, right = self.at_x(x[0]), self.at_x(x[1])
        low, high = self.at_y(min(y)), self.at_y(max(y))
        size = f'width="{max(right - left, 0):.1f}" height="{max(low - high, 0):.1f}"'
        box = f'<rect class="bar {kind}" x="{left:.1f}" y="{high:.1f}" {size}>'
        self.parts.append(f"{box}{_title(note)}</rect>")

    def whisker(self, x: float, y: Span) -> None:
        """An interval, upright."""
        at = self.at_x(x)
        self.parts.append(_line("whisker", at, at, self.at_y(y[0]), self.at_y(y[1])))

    def diamond(self, x: float, y: float, note: str = "") -> None:
        """A mark for something else than what is measured."""
        at = f"{self.at_x(x):.1f} {self.at_y(y):.1f}"
        mark = f'<path class="diamond" transform="translate({at})" {_DIAMOND}>'
        self.parts.append(f"{mark}{_title(note)}</path>")

    def level(self, y: float) -> None:
        """A dashed line across."""
        self.parts.append(_across("chance", self.at_y(y)))

    def upright(self, x: float) -> None:
        """A dashed line from bottom to top."""
        at = self.at_x(x)
        self.parts.append(_line("chance", at, at, self.top, self.bottom))

    def diagonal(self) -> None:
        """A dashed line of what is the same on both axes."""
        low, high = max(self.x[0], self.y[0]), min(self.x[1], self.y[1])
        xs, ys = (self.at_x(low), self.at_x(high)), (self.at_y(low), self.at_y(high))
        self.parts.append(_line("chance", *xs, *ys))

    def label(self, x: float, y: float, text: str) -> None:
        """A text above a point."""
        self.parts.append(_text(self.at_x(x), self.at_y(y) - 6, text, "", "middle"))

    def picture(self, title: str, caption: str, words: str = "") -> Picture:
        """The drawing; `words` are for those who cannot see it, the caption if there are none."""
        label = html.escape(f"{title}. {words or caption}")
        svg = (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
            f"{''.join(self.parts)}</svg>"
        )
        return Picture(title, caption, svg)

    def _legend(self, legend: Sequence[tuple[str, str]]) -> int:
        """Draws it, and says how many lines it takes."""
        x, line = float(_LEFT), 0
        for kind, text in legend:
            width = 26 + _LETTER * len(text) + 12
            if x > _LEFT and x + width > WIDTH:
                x, line = float(_LEFT), line + 1
            y = 12 + 18 * line
            entry = _sample(kind, x, y) + _text(x + 26, y + 4, text, "soft")
            self.parts.append(f'<g class="key" data-kind="{kind.split()[-1]}">{entry}</g>')
            x += width
        return line + 1 if legend else 0


def track(value: float, low: float, high: float, kind: str, note: str, middle: float = 0.5) -> str:
    """A bar with its interval on a strip from 0 to 1, for a cell of a table."""
    ends = [min(max(x, 0.0), 1.0) for x in (middle, value, low, high)]
    at, end, start, stop = (f"{100 * x:.1f}%" for x in ends)
    left, width = min(ends[:2]), abs(ends[1] - ends[0])
    return (
        f'<svg role="img" aria-label="{html.escape(note)}"><title>{html.escape(note)}</title>'
        f'<line class="grid" x1="0" x2="100%" y1="50%" y2="50%"/>'
        f'<rect class="bar pale {kind}" x="{100 * left:.1f}%" width="{100 * width:.1f}%" y="28%" '
        'height="44%"/>'
        f'<line class="chance" x1="{at}" x2="{at}" y1="0" y2="100%"/>'
        f'<line class="whisker" x1="{start}" x2="{stop}" y1="50%" y2="50%"/>'
        f'<circle class="dot {kind}" cx="{end}" cy="50%" r="4.5"/></svg>'
    )


def _sample(kind: str, x: float, y: float) -> str:
    """How something looks, in the legend."""
    middle = x + 10
    if kind == "diamond":
        return f'<path class="diamond" transform="translate({middle} {y})" {_DIAMOND}/>'
    if kind == "chance" or kind.startswith("curve"):
        return _line(kind, x, x + 20, y, y)
    if kind.startswith(("dot", "hollow")):
        return f'<circle class="{kind}" cx="{middle}" cy="{y}" r="4"/>'
    return f'<rect class="{kind}" x="{x + 4}" y="{y - 5}" width="14" height="10"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    classes = f' class="{kind}"' if kind else ""
    end = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{classes}{end}>{html.escape(text)}</text>'


def _line(kind: str, x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _across(kind: str, y: float) -> str:
    """A line from the left to the right of the axes."""
    return f'<line class="{kind}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _title(note: str) -> str:
    return f"<title>{html.escape(note)}</title>" if note else ""
