"""Tables for a terminal."""

from collections.abc import Sequence


def text_table(cells: Sequence[Sequence[str]], footnotes: Sequence[str]) -> str:
    """A table with its first column to the left and all others to the right.

    Args:
        cells: the header and the rows.
        footnotes: lines below the table.
    """
    header, *rows = cells
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], rule, *footnotes])
