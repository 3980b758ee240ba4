"""A small plot of values over time, drawn with what Qt has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, floor, log10

from qgis.PyQt.QtCore import QPointF, QRectF, QSize, Qt
from qgis.PyQt.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from qgis.PyQt.QtWidgets import QSizePolicy, QToolTip, QWidget

#: Colours that colour-blind people can tell apart, by the number of the line.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
#: Days between two ticks.
_DAYS = (1, 2, 5, 7, 14, 30, 61, 91, 182, 365, 730, 1825)
_DOT, _NEAR = 2.5, 12.0


@dataclass(frozen=True)
class Line:
    """Values of one stack over time; None where it has none: the line has a gap there."""

    title: str
    points: tuple[tuple[date, float | None], ...]

    @property
    def values(self) -> list[float]:
        """The values that are there."""
        return [value for _, value in self.points if value is not None]

    def pieces(self) -> Iterator[list[tuple[date, float]]]:
        """The runs of points between the gaps."""
        piece: list[tuple[date, float]] = []
        for day, value in self.points:
            if value is not None:
                piece.append((day, value))
            elif piece:
                yield piece
                piece = []
        if piece:
            yield piece


def ticks(least: float, greatest: float, count: int) -> list[float]:
    """About ``count`` round numbers between two values."""
    rough = (greatest - least) / max(count, 1)
    unit = 10.0 ** floor(log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [round(number * step, 12) for number in range(ceil(least / step), floor(greatest / step) + 1)]


class TimePlot(QWidget):
    """Lines over time with axes and a legend; the value under the mouse is told in a tip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lines: tuple[Line, ...] = ()
        self._hint = ""
        self._area = QRectF()
        self._days, self._range = (0, 1), (0.0, 1.0)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """The size to begin with."""
        return QSize(640, 240)

    def show_lines(self, lines: Sequence[Line], hint: str = "") -> None:
        """Draw these lines, or the hint where there is no value to draw."""
        self.lines, self._hint = tuple(lines), hint
        days = [day.toordinal() for line in lines for day, _ in line.points]
        values = [value for line in lines for value in line.values]
        if values:
            margin = 0.05 * (max(values) - min(values)) or abs(values[0]) * 0.05 or 1.0
            self._days = (min(days), max(*days, min(days) + 1))
            self._range = (min(values) - margin, max(values) + margin)
        self.update()

    def place(self, day: date, value: float) -> QPointF:
        """Where a value is drawn."""
        (first, last), (least, greatest), area = self._days, self._range, self._area
        return QPointF(
            area.left() + area.width() * (day.toordinal() - first) / (last - first),
            area.bottom() - area.height() * (value - least) / (greatest - least),
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self.palette().brush(QPalette.ColorRole.Base))
        if any(line.values for line in self.lines):
            self._draw_axes(painter)
            for number, line in enumerate(self.lines):
                self._draw_line(painter, line, QColor(COLOURS[number % len(COLOURS)]))
            self._draw_legend(painter)
        else:
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter), self._hint)
        painter.end()

    def _draw_axes(self, painter: QPainter) -> None:
        metrics = painter.fontMetrics()
        height = metrics.height()
        numbers = ticks(*self._range, max(2, (self.height() - 4 * height) // (3 * height)))
        labels = [f"{number:g}" for number in numbers]
        left = 2 * height + max(metrics.boundingRect(label).width() for label in labels)
        self._area = QRectF(left, 2 * height, self.width() - left - 4 * height, self.height() - 4 * height)
        text = self.palette().color(QPalette.ColorRole.Text)
        faint = QColor(text)
        faint.setAlpha(40)
        for index, number in enumerate(numbers):
            y = self.place(date.fromordinal(self._days[0]), number).y()
            painter.setPen(faint)
            painter.drawLine(QPointF(left, y), QPointF(self._area.right(), y))
            painter.setPen(text)
            box = QRectF(0, y - height, left - height / 2, 2 * height)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), labels[index])
        for day in self._dates(self._area.width() / (7 * height)):
            x = self.place(day, self._range[0]).x()
            painter.setPen(faint)
            painter.drawLine(QPointF(x, self._area.top()), QPointF(x, self._area.bottom()))
            painter.setPen(text)
            box = QRectF(x - 4 * height, self._area.bottom() + height / 4, 8 * height, 1.5 * height)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), day.isoformat())

    def _dates(self, count: float) -> list[date]:
        first, last = self._days
        step = next((days for days in _DAYS if (last - first) / days <= max(count, 1)), _DAYS[-1])
        return [date.fromordinal(number) for number in range(first, last + 1, step)]

    def _draw_line(self, painter: QPainter, line: Line, colour: QColor) -> None:
        for piece in line.pieces():
            places = [self.place(day, value) for day, value in piece]
            painter.setPen(QPen(colour, 1.5))
            for index in range(len(places) - 1):
                painter.drawLine(places[index], places[index + 1])
            painter.setBrush(colour)
            for place in places:
                painter.drawEllipse(place, _DOT, _DOT)

    def _draw_legend(self, painter: QPainter) -> None:
        metrics = painter.fontMetrics()
        x, y = self._area.left(), float(metrics.height())
        for number, line in enumerate(self.lines):
            colour = QColor(COLOURS[number % len(COLOURS)])
            painter.setPen(QPen(colour, 3))
            painter.drawLine(QPointF(x, y), QPointF(x + 16, y))
            painter.setPen(self.palette().color(QPalette.ColorRole.Text))
            title = line.title if line.values else f"{line.title} (no data)"
            painter.drawText(QPointF(x + 22, y + metrics.ascent() / 2 - 1), title)
            x += 46 + metrics.boundingRect(title).width()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell the value that is nearest to the mouse."""
        found = self.nearest(QPointF(event.pos()))
        if found is None:
            QToolTip.hideText()
        else:
            line, day, value = found
            QToolTip.showText(self.mapToGlobal(event.pos()), f"{line.title}\n{day.isoformat()}: {value:g}", self)

    def nearest(self, spot: QPointF) -> tuple[Line, date, float] | None:
        """The value that is drawn nearest to a spot, if it is near."""
        distances = [
            ((self.place(day, value) - spot).manhattanLength(), number, day, value)
            for number, line in enumerate(self.lines) for day, value in line.points if value is not None
        ]
        distance, number, day, value = min(distances, default=(_NEAR + 1, 0, date.min, 0.0))
        return (self.lines[number], day, value) if distance <= _NEAR else None
