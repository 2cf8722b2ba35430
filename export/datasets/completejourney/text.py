"""Texts of Complete Journey: scenario descriptions, and product labels without abbreviations and sizes.

Knows the retailer's abbreviations; doesn't know products or placements.
"""

import re

# Index = scenario number; the last one is for purchases without a promotion.
SCENARIO_TEXTS = (
    (
        "s0",
        "Store front and rear display",
        "Free-standing displays at the entrance and along the back wall of the supermarket. Shoppers pass them "
        "on the way in and between departments; they show the week's big deals, seasonal goods and bulk packs.",
    ),
    (
        "s1",
        "End cap",
        "Displays at the ends of the supermarket's aisles. Shoppers see them while walking from aisle to aisle; "
        "they show well-known brands of snacks, drinks and pantry goods at a promotional price.",
    ),
    (
        "s2",
        "In-aisle and shelf display",
        "Signs, shelf tags and secondary displays within the aisles, next to competing products of the same kind. "
        "Shoppers meet them while looking for something in this category.",
    ),
    (
        "s3",
        "Mailer cover",
        "Front page, back page and wrap of the weekly advertising leaflet that is mailed home. Read at home before "
        "the shopping trip; it carries the strongest offers, with large pictures.",
    ),
    (
        "s4",
        "Mailer interior",
        "Inside pages of the weekly advertising leaflet that is mailed home: many small offers from all "
        "departments, read at home by people who plan their shopping list.",
    ),
    (
        "regular",
        "Regular shelf",
        "Everyday shopping in the supermarket without any promotion: products picked from their usual place at "
        "their usual price, out of habit or need.",
    ),
)

ABBREVIATIONS = {
    **dict.fromkeys(("drnk", "drnks"), "drink"),
    **dict.fromkeys(("frzn", "frz"), "frozen"),
    **dict.fromkeys(("mxs", "mixs"), "mixes"),
    **dict.fromkeys(("pkg", "pkgd", "pckgd"), "packaged"),
    **dict.fromkeys(("refrgratd", "refrig"), "refrigerated"),
    **dict.fromkeys(("flvr", "flvrd"), "flavored"),
    "beeralemalt": "beer ale malt",
    "bev": "beverage",
    "bg": "bags",
    "bkd": "baked",
    "bn": "bean",
    "brd": "bread",
    "brkfst": "breakfast",
    "btl": "bottle",
    "btr": "butter",
    "carb": "carbonated",
    "chix": "chicken",
    "chp": "chopped",
    "ckys": "cookies",
    "cleang": "cleaning",
    "cnd": "canned",
    "cndy": "candy",
    "conc": "concentrate",
    "crkr": "crackers",
    "crystl": "crystal",
    "dnr": "dinner",
    "dnrs": "dinners",
    "drsng": "dressing",
    "fd": "food",
    "fem": "feminine",
    "gds": "goods",
    "gm": "general merchandise",
    "grnd": "ground",
    "hbc": "health and beauty care",
    "hygn": "hygiene",
    "jce": "juice",
    "liq": "liquid",
    "misc": "miscellaneous",
    "ndairy": "non-dairy",
    "pk": "pack",
    "pkld": "pickled",
    "plstc": "plastic",
    "pnt": "peanut",
    "pwdr": "powder",
    "sald": "salad",
    "sft": "soft",
    "sherbts": "sherbet",
    "shldr": "shoulder",
    "slc": "sliced",
    "sndwch": "sandwich",
    "snks": "snacks",
    "sply": "supply",
    "sprd": "spread",
    "stk": "stick",
    "supp": "supplies",
    "sw": "sweet",
    "sv": "service",
    "tiss": "tissue",
    "trsh": "trash",
    "veg": "vegetable",
    "w": "with",
    "whlsm": "wholesome",
    "wtr": "water",
}
UNITS = frozenset({"oz", "lb", "lbs", "ct", "gal", "ml", "ltr"})
"""Units of package sizes, which do not describe the product."""

# A remark in parentheses (often cut off by the source's column width) that gives an amount.
_AMOUNT_REMARK = re.compile(r"\([^()]*\d[^()]*(?:\)|$)")
_WORD = re.compile(r"[^\s/&,;:().*+\-]+")


def plain_words(label: str) -> str:
    """`FRZN JCE CONC/DRNKS (OVER 50%` as `frozen juice concentrate drink`."""
    words = _WORD.findall(_AMOUNT_REMARK.sub(" ", label.lower()))
    words_left = [word for word in words if word not in UNITS and not any(c.isdigit() for c in word)]
    expanded = [ABBREVIATIONS.get(word, word) for word in words_left]
    return " ".join(expanded) or label.lower()
