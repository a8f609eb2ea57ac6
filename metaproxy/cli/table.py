"""
A table of text: a line for each row, always.

Lives here: `Table`, and which columns a narrow terminal shows. Does not: what stands in it.

Where there is no terminal (a pipe, a file) every column and every value is there in full, however long the lines get:
programs and `grep` read them. A terminal gets as many columns as fit, those that matter least left out first; a value
that does not fit even so is cut, and its end shown as an ellipsis. Nothing ever goes on in the next line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

GAP = 2
"""Spaces between two columns."""
LEAST = 6
"""Characters that are left of a column of texts, however narrow the terminal is."""
MODEST = 30
"""Characters up to which a column of texts is shown whole, be it that others go for it."""
NOTHING = "-"
"""An empty cell: so each row has as many words as there are columns, for programs that count them."""


class Table:
    """
    columns: those that begin with `>` are right-aligned. drop: columns that a narrow terminal does without, the first
    one first; others stay.
    """

    def __init__(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Text]], drop: Sequence[str] = ()
    ) -> None:
        self._title = title
        self._names = [name.lstrip(">") for name in columns]
        self._right = [name.startswith(">") for name in columns]
        self._rows = [[cell if cell.plain else Text(NOTHING) for cell in row] for row in rows]
        self._drop = [self._names.index(name) for name in drop]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield from self.lines(options.max_width if console.is_terminal else None)

    def lines(self, width: int | None = None) -> Iterator[Text]:
        """width: of the terminal, None for no limit."""
        widths = {place: self._width(place) for place in range(len(self._names))}
        if width is not None:
            widths = self._fitting(widths, width)
        if self._title:
            yield _line([Text(self._title, "bold")], width)
        yield _line([self._cell(Text(self._names[place], "bold"), place, widths) for place in widths], width)
        for row in self._rows:
            yield _line([self._cell(row[place], place, widths) for place in widths], width)
        yield Text("")

    def _width(self, place: int) -> int:
        return max([cell_len(self._names[place]), *(row[place].cell_len for row in self._rows)])

    def _fitting(self, widths: dict[int, int], width: int) -> dict[int, int]:
        """The columns that are shown, and how wide."""
        for place in self._drop:
            if _whole({one: self._modest(one, widths[one]) for one in widths}) <= width:
                break
            del widths[place]
        for _ in range(_whole(widths) - width):
            widest = max(widths, key=lambda place: 0 if self._right[place] else widths[place])
            if self._right[widest] or widths[widest] <= LEAST:
                break
            widths[widest] -= 1
        return widths

    def _modest(self, place: int, width: int) -> int:
        """What a column needs: a long value is rather cut than that others go."""
        return width if self._right[place] else min(width, MODEST)

    def _cell(self, cell: Text, place: int, widths: dict[int, int]) -> Text:
        cell = cell.copy()
        if cell.cell_len > widths[place]:
            cell.truncate(widths[place], overflow="ellipsis")
        room = widths[place] - cell.cell_len
        if self._right[place]:
            return Text(" " * room).append_text(cell)
        cell.pad_right(room)
        return cell


def _whole(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _line(cells: Sequence[Text], width: int | None) -> Text:
    line = Text(" " * GAP, no_wrap=True, overflow="ignore", end="\n").join(cells)
    line.no_wrap, line.overflow = True, "ignore"
    line.rstrip()
    if width is not None:
        line.truncate(width, overflow="ellipsis")
    return line
