"""A template for own data: small tables, their settings, and documentation of each column.

Synthetic: a shop for films and devices on phone, desktop and TV. It imports, checks, replays and trains unchanged.
"""

import json
from pathlib import Path
from typing import Any

from export.datasets.errors import DatasetError
from export.datasets.tables import TABLES, USERS, columns_markdown

Row = dict[str, Any]

OPENED = "2025-09-01T00:00:00Z"

SCENARIOS = (
    ("phone", "Phone", "Short visits on the way: one hand, small screen, quick looks at what is new."),
    ("desktop", "Desktop", "Longer visits at a desk: comparing devices, reading reviews, buying."),
    ("tv", "TV", "Evenings on the sofa with a remote control: choosing something to watch together."),
)

# id, title, description, categories, brand, price, running time in minutes
ITEMS = (
    (
        "film-01",
        "The Long Tide",
        "A lighthouse keeper takes in a stranger.",
        ("film", "drama"),
        "Northlight",
        3.99,
        118,
    ),
    ("film-02", "Night Ferry", "A detective, a ship, no way off.", ("film", "crime"), "Northlight", 3.99, 104),
    ("film-03", "Two Left Shoes", "Two dancers share one flat.", ("film", "comedy"), "Sunroom", 2.99, 96),
    (
        "film-04",
        "Orbit of Glass",
        "The last crew of a station that must not fall.",
        ("film", "sci-fi"),
        "Kepler",
        4.99,
        131,
    ),
    ("film-05", "Paper Lions", "A class trip goes wonderfully wrong.", ("film", "comedy"), "Sunroom", 2.99, 92),
    ("film-06", "Winter Ledger", "An accountant finds a number too many.", ("film", "crime"), "Kepler", 3.99, 109),
    ("series-01", "Harbour Street", "Neighbours, season 1.", ("series", "drama"), "Northlight", 9.99, 420),
    ("series-02", "Cold Signal", "A radio amateur hears a case, season 1.", ("series", "crime"), "Kepler", 11.99, 390),
    (
        "series-03",
        "Kitchen Table",
        "A family cooks and quarrels, season 2.",
        ("series", "comedy"),
        "Sunroom",
        9.99,
        300,
    ),
    ("series-04", "Red Dunes", "Settlers on Mars, season 1.", ("series", "sci-fi"), "Kepler", 12.99, 480),
    ("audio-01", "Headphones Calm 2", "Over-ear, noise cancelling, 30 hours.", ("device", "audio"), "Oto", 149.0, None),
    ("audio-02", "Earbuds Go", "Small, splash-proof, with a charging case.", ("device", "audio"), "Oto", 59.0, None),
    (
        "audio-03",
        "Soundbar Wide",
        "Fits below a television, with subwoofer.",
        ("device", "audio"),
        "Brandt",
        229.0,
        None,
    ),
    ("screen-01", "Projector Wall", "Full HD, 100 inches from 2 metres.", ("device", "screen"), "Brandt", 399.0, None),
    ("screen-02", "Tablet Ten", "10 inches, for reading and films.", ("device", "screen"), "Oto", 259.0, None),
    ("screen-03", "TV Stick 4K", "Makes any screen a smart one.", ("device", "screen"), "Brandt", 49.0, None),
    ("care-01", "Remote Cover", "Soft silicone, glows in the dark.", ("device", "accessory"), "Brandt", 9.0, None),
    ("care-02", "Tablet Stand", "Folds flat, any angle.", ("device", "accessory"), "Oto", 19.0, None),
)

BANNERS = (("film-04", "tv", "2025-09-03T00:00:00Z"), ("audio-01", "desktop", "2025-09-03T00:00:00Z"))

# Users: age, job, what they said they like. Dora has no events yet.
USER_ATTRIBUTES = (
    ("ana", 24, "student", ("comedy", "crime")),
    ("ben", 41, "teacher", ("crime",)),
    ("chloe", 35, "engineer", ("sci-fi",)),
    ("dora", 22, "student", ()),
)

# Impressions: request, user, scenario, time, the two items.
IMPRESSIONS = (
    ("r1", "ana", "phone", "2025-09-02T08:10:00Z", ("audio-02", "film-01")),
    ("r2", "ben", "tv", "2025-09-03T20:00:00Z", ("film-03", "series-02")),
    ("r3", "ana", "desktop", "2025-09-04T12:30:00Z", ("audio-01", "screen-02")),
    ("r4", "chloe", "tv", "2025-09-05T21:15:00Z", ("film-05", "film-04")),
    ("r5", "ben", "phone", "2025-09-08T07:45:00Z", ("film-02", "care-01")),
    ("r6", "chloe", "desktop", "2025-09-10T18:20:00Z", ("series-03", "screen-01")),
)

# Actions: user, scenario, item, type, time, value.
ACTIONS = (
    ("ana", "phone", "audio-02", "click", "2025-09-02T08:10:20Z", None),
    ("ben", "tv", "series-02", "click", "2025-09-03T20:01:00Z", None),
    ("ana", "desktop", "audio-01", "click", "2025-09-04T12:31:00Z", None),
    ("ana", "desktop", "audio-01", "purchase", "2025-09-04T12:52:00Z", 149.0),
    ("chloe", "tv", "film-04", "click", "2025-09-05T21:16:30Z", None),
    ("ben", "phone", "film-02", "click", "2025-09-08T07:45:40Z", None),
    ("chloe", "desktop", "screen-01", "add_to_cart", "2025-09-10T18:41:00Z", None),
    ("chloe", "desktop", "screen-01", "purchase", "2025-09-11T09:05:00Z", 389.0),
)

SETTINGS = """\
# Settings of this data set: set CROSSREC_CONFIG to this file. `crossrec settings` lists all settings.

[features]
# Half-lives of decayed counts, seconds: an hour, a day, 30 days.
half_lives_s = [3600.0, 86400.0, 2592000.0]

# From which value on an event likes its item: what is liked, and what is not, becomes features, and a value below is no
# engagement. With ratings (or stars of comments, or seconds of dwell of clicks):
# liked_from = { rating = 4.0 }

# Your own attributes that become features: of items, items in scenarios and users (column attributes), and of requests
# (entity "context", column context). Kinds: number (default), category (one text), categories (a list of texts).
attributes = [
  { name = "minutes", entity = "item", transform = "log1p" },
  { name = "banner", entity = "item_scenario" },
  { name = "age", entity = "user" },
  { name = "job", entity = "user", kind = "category", buckets = 8 },
  { name = "likes", entity = "user", kind = "categories", values = ["comedy", "crime", "drama", "sci-fi"] },
]

[dataset]
# These events have no column label, so labels are made at import. Event types that make a positive:
label_events = ["click", "add_to_cart", "purchase"]
# With ratings: label_events = ["rating"]; a rating is positive from features.liked_from.rating on.
# An impression is positive if such an event follows within this time, seconds.
label_window_s = 3600.0
# "shown": the other impressions are negatives. Without impressions: "sampled", from the existing items.
negatives = "shown"
# negatives_per_positive = 4
# negative_sampling = "mixed" # "uniform", "popularity", or half by either
# "time", "user_time", "random" or "user". By time: at these times, or without them by train_share and validation_share.
split = "time"
validation_from = 2025-09-08T00:00:00Z
test_from = 2025-09-10T00:00:00Z
"""

GUIDE = """\
# Your data set

Tables as JSON lines (or Parquet with the same columns), and their settings. Replace the lines by yours; columns that
may be null can be omitted, and so can the whole files of items, scenarios and users.

```sh
export CROSSREC_CONFIG=$PWD/crossrec.toml
crossrec data check --dir .                          # check before import
crossrec import jsonl --source . --out data/mine     # errors are listed with file, line and column
crossrec data check --data mine
crossrec replay --data mine                          # training rows
crossrec train --data mine
```
"""


def write_template(directory: Path) -> list[Path]:
    """Write the files and return their paths; DatasetError if one of them exists."""
    files = {
        "events.jsonl": _lines(sorted(_events(), key=lambda row: str(row["time"]))),
        "items.jsonl": _lines(_items()),
        "scenarios.jsonl": _lines(
            [{"scenario_id": s, "time": OPENED, "name": name, "description": text} for s, name, text in SCENARIOS]
        ),
        "users.jsonl": _lines(_users()),
        "crossrec.toml": SETTINGS,
        "README.md": GUIDE + "".join(f"\n## {s.name}: {s.row}\n\n{columns_markdown(s)}\n" for s in (*TABLES, USERS)),
    }
    existing = [name for name in files if (directory / name).exists()]
    if existing or (directory.exists() and not directory.is_dir()):
        raise DatasetError(
            f"{directory} {'contains ' + ', '.join(existing) if existing else 'is a file'}; choose a new directory"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return [directory / name for name in files]


def _events() -> list[Row]:
    impressions = [
        {"user_id": user, "scenario_id": scenario, "item_id": item, "type": "impression", "time": time, "request_id": r}
        for r, user, scenario, time, items in IMPRESSIONS
        for item in items
    ]
    names = ("user_id", "scenario_id", "item_id", "type", "time", "value")
    actions = [{name: v for name, v in zip(names, row, strict=True) if v is not None} for row in ACTIONS]
    return [*impressions, *actions]


def _users() -> list[Row]:
    return [
        {"user_id": user, "time": OPENED, "attributes": {"age": age, "job": job, "likes": likes}}
        for user, age, job, likes in USER_ATTRIBUTES
    ]


def _items() -> list[Row]:
    rows = [
        {
            "item_id": item,
            "time": OPENED,
            "title": title,
            "description": text,
            "categories": categories,
            "brand": brand,
            "price": price,
            **({"attributes": {"minutes": minutes}} if minutes else {}),
        }
        for item, title, text, categories, brand, price, minutes in ITEMS
    ]
    banners = [{"item_id": i, "scenario_id": s, "time": time, "attributes": {"banner": 1}} for i, s, time in BANNERS]
    return [*rows, *banners]


def _lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
