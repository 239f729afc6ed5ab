"""Where each id was seen, for more ids than should lie in memory."""

import sqlite3
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import closing, contextmanager
from pathlib import Path


class Places(MutableMapping[str, str]):
    """A mapping from id to place in a database file, which is never written twice for one id."""

    def __init__(self, database: sqlite3.Connection):
        self._database = database
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID")

    def __getitem__(self, id: str) -> str:
        """Where an id was seen."""
        row = self._database.execute("SELECT place FROM seen WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise KeyError(id)
        return row[0]

    def __setitem__(self, id: str, place: str) -> None:
        """Remembers an id."""
        self._database.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (id, place))

    def __delitem__(self, id: str) -> None:
        """Forgets an id."""
        self._database.execute("DELETE FROM seen WHERE id = ?", (id,))

    def __iter__(self) -> Iterator[str]:
        """All ids, sorted."""
        return (row[0] for row in self._database.execute("SELECT id FROM seen ORDER BY id"))

    def __len__(self) -> int:
        """Number of ids."""
        return self._database.execute("SELECT COUNT(*) FROM seen").fetchone()[0]


@contextmanager
def ids_on_disk() -> Iterator[Places]:
    """Places in a temporary file, gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="mapl-ids-") as folder,
        closing(sqlite3.connect(Path(folder) / "ids.db")) as database,
    ):
        yield Places(database)
