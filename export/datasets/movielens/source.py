"""Reads MovieLens in the forms in which it is distributed, to the same columns of text.

RecBole's atomic files (`ml-100k.inter`, `.item`, `.user`), the classic files (`u.data`, `u.item`, `u.user`), those of
the million (`ratings.dat`, `movies.dat`, `users.dat`) and of later releases (`ratings.csv`, `movies.csv`). Knows names
and separators; knows nothing of scenarios.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from export.datasets.csv_files import CsvFile
from export.datasets.errors import DatasetError, Problem

Columns = dict[str, list[str]]
"""Column name to its cells, all of one length; "" where a cell is empty."""

GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""Flags at the end of a line of u.item, in their order."""

EXPECTED = (
    "expected ratings as *.inter (RecBole), u.data (ml-100k), ratings.dat (ml-1m) or ratings.csv (later releases), and "
    "films and users beside them"
)


@dataclass(frozen=True)
class TextTable:
    """A file's columns, and the place of each row."""

    columns: Columns
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class MovieLens:
    """Ratings (user_id, item_id, value, time), films (item_id, title, year, genres by |), users (user_id, age, ...)."""

    ratings: TextTable
    films: TextTable | None
    users: TextTable | None


@dataclass(frozen=True)
class Form:
    """A file without a header: its separator, and its columns; `encoding` of older releases is Latin-1."""

    separator: str
    names: tuple[str, ...]
    encoding: str = "latin-1"


RATING = ("user_id", "item_id", "value", "time")
USER_100K, USER_1M = (
    ("user_id", "age", "gender", "occupation", "zip_code"),
    ("user_id", "gender", "age", "occupation", "zip_code"),
)
RENAMED = {
    "rating": "value", "timestamp": "time", "userId": "user_id", "movieId": "item_id", "movie_title": "title",
    "release_year": "year", "class": "genres",
}  # fmt: skip
"""Names of columns in files with a header."""


def read_movielens(directory: Path) -> MovieLens:
    """Read the files of a directory. DatasetError if it holds none of the forms, two of them, or a line of another."""
    if not directory.is_dir():
        raise DatasetError(f"{directory} is not a directory; {EXPECTED}")
    inter = sorted(directory.glob("*.inter"))
    forms = [
        *inter,
        *(path for name in ("u.data", "ratings.dat", "ratings.csv") if (path := directory / name).exists()),
    ]
    if not forms:
        raise DatasetError(f"{directory} has no MovieLens files; {EXPECTED}")
    if len(forms) > 1:
        raise DatasetError(f"{forms[0].name} and {forms[1].name} in {directory} are both ratings: remove one")
    (ratings,) = forms
    if inter:
        return _read_headed(ratings, ratings.with_suffix(".item"), ratings.with_suffix(".user"))
    if ratings.name == "ratings.csv":
        return _read_headed(ratings, directory / "movies.csv", directory / "users.csv")
    if ratings.name == "u.data":
        item = Form("|", ("item_id", "title", "released", "video", "imdb", *GENRES))
        films = _optional(directory / "u.item", item)
        return MovieLens(
            _read_lines(ratings, Form("\t", RATING)),
            _with_flags_as_genres(films) if films else None,
            _optional(directory / "u.user", Form("|", USER_100K)),
        )
    return MovieLens(
        _read_lines(ratings, Form("::", RATING)),
        _optional(directory / "movies.dat", Form("::", ("item_id", "title", "genres"))),
        _optional(directory / "users.dat", Form("::", USER_1M)),
    )


def _read_headed(ratings: Path, films: Path, users: Path) -> MovieLens:
    return MovieLens(
        _read_csv(ratings, RATING),
        _read_csv(films, ("item_id", "title")) if films.exists() else None,
        _read_csv(users, ("user_id",)) if users.exists() else None,
    )


def _read_csv(path: Path, needed: tuple[str, ...]) -> TextTable:
    """A file with a header, its columns renamed; genres of RecBole, separated by spaces, are separated by bars."""
    file = CsvFile.open(path)
    names = [RENAMED.get(name, name) for name in file.names]
    missing = [name for name in needed if name not in names]
    if missing:
        raise DatasetError(f"{path}: has no column {', '.join(missing)}; its columns are {', '.join(file.names)}")
    problems: list[Problem] = []
    columns: Columns = {name: [] for name in names}
    for batch in file.batches(problems):
        for name, cells in zip(names, batch.columns, strict=True):
            columns[name] += [(cell or b"").decode(errors="replace").strip() for cell in cells.to_pylist()]
    if problems:
        raise DatasetError(f"{len(problems)} lines of {path} cannot be read", problems)
    if file.types and "genres" in columns:
        columns["genres"] = ["|".join(genres.split()) for genres in columns["genres"]]
    return TextTable(columns, file.place)


def _optional(path: Path, form: Form) -> TextTable | None:
    return _read_lines(path, form) if path.exists() else None


def _read_lines(path: Path, form: Form) -> TextTable:
    """A file without a header. DatasetError for a line with another number of cells."""
    rows, lines = list[list[str]](), list[int]()
    for number, line in _lines(path, form.encoding):
        cells = line.split(form.separator)
        if len(cells) != len(form.names):
            raise DatasetError(
                f"{path}:{number}: has {len(cells)} cells, expected {len(form.names)}: {', '.join(form.names[:5])}"
            )
        rows.append(cells)
        lines.append(number)
    columns = dict(zip(form.names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
    if not columns:
        raise DatasetError(f"{path}: is empty")
    return TextTable(columns, lambda row: f"{path.name}:{lines[row]}")


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding=encoding) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error


def _with_flags_as_genres(films: TextTable) -> TextTable:
    """Genres from the flags of u.item."""
    flags = [films.columns[genre] for genre in GENRES]
    genres = [
        "|".join(genre for genre, flag in zip(GENRES, row, strict=True) if flag == "1" and genre != "unknown")
        for row in zip(*flags, strict=True)
    ]
    kept = {name: films.columns[name] for name in ("item_id", "title")}
    return TextTable({**kept, "genres": genres}, films.place)
