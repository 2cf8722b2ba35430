"""What columns and event types are called in files of others: names and words, as tables.

Names are compared in lower case, without anything but letters and digits.
"""

import re
from collections.abc import Iterable

USER, ITEM = "user_id", "item_id"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ROLE_NAMES: dict[str, tuple[str, ...]] = {
    USER: _words(
        """
        userid user uid customerid customer visitorid visitor memberid member reviewerid clientid client
        accountid account personid person householdid household subscriberid msno consumerid playerid readerid
        viewerid patronid userhash cookieid deviceid usr sessionid session
        """
    ),
    ITEM: _words(
        """
        itemid item iid movieid movie filmid film productid product sku asin parentasin stockcode articleid
        article newsid news documentid docid storyid bookid isbn songid trackid artistid videoid gameid appid
        couponid coupon offerid adid creativeid businessid restaurantid placeid venueid hotelid recipeid
        courseid jobid contentid listingid goodsid auctionid postid showid animeid item1
        """
    ),
    "time": _words(
        """
        timestamp time datetime eventtime eventtimestamp ts date createdat created unixreviewtime unixtime
        reviewtime ratedat clickedat orderdate purchasedate invoicedate visittime servertime eventdate
        transactiondate transactiontimestamp timems unixtimestamp
        """
    ),
    "label": _words(
        """
        label click clicked isclick isclicked target y converted conversion accepted engaged liked islike
        purchased bought isbuy response positive outcome
        """
    ),
    "value": _words(
        """
        rating stars star overall score userrating reviewscore rate watchratio watchtime dwelltime dwell
        playtime value
        """
    ),
    "type": _words(
        """
        eventtype event type action actiontype behavior behaviortype behaviour interaction
        """
    ),
    "scenario_id": _words(
        """
        scenarioid scenario device devicetype channel platform destination placement page surface context source
        domain tab app medium market store country locale
        """
    ),
    "request_id": _words(
        """
        requestid impressionid queryid searchid slateid listid displayid
        """
    ),
    "split": _words(
        """
        split fold partition subset
        """
    ),
    "text": _words(
        """
        comment reviewtext review commenttext
        """
    ),
    "title": _words(
        """
        title name movietitle itemname productname headline itemtitle filmtitle label
        """
    ),
    "description": _words(
        """
        description desc summary abstract body plot overview text content about
        """
    ),
    "categories": _words(
        """
        categories category genres genre class topics topic section tags department
        """
    ),
    "brand": _words(
        """
        brand maker manufacturer publisher author director artist seller vendor source
        """
    ),
    "price": _words(
        """
        price listprice unitprice cost retailprice
        """
    ),
}
"""Names of columns by role, the most certain first."""

USER_WORDS = _words("user customer visitor member client reader viewer household person people")
ITEM_WORDS = _words(
    """
    item movie film product article news book song track video game coupon offer restaurant recipe catalog
    catalogue goods course
    """
)
ID_WORDS = ("id", "key", "hash", "number", "num", "no", "code")

GROUP_NAMES = ("age", "agegroup", "segment", "membership", "plan", "tier", "gender", "sex", "region", "agerange")
"""Columns of users by which they are grouped into scenarios where events have none, the best first."""

AGE_BOUNDS = (25.0, 35.0)

TYPE_WORDS: dict[str, tuple[str, ...]] = {
    "impression": _words(
        """
        impression show shown exposure exposed display displayed seen recommend
        """
    ),
    "click": _words(
        """
        click view pageview pv detail open read watch play listen visit select fav favorite favourite like wish
        wishlist save bookmark share follow download comment commentcreated commented reply react upvote subscribe
        """
    ),
    "add_to_cart": _words(
        """
        addtocart cart basket add addtobasket
        """
    ),
    "purchase": _words(
        """
        purchase transaction buy order checkout pay bought sale sold redeem
        """
    ),
    "rating": _words(
        """
        rating rate rated
        """
    ),
}
"""Words of files for event types. Other words are no engagement, or none that can be known: such rows are left out."""

EVENT_FILE_WORDS = {
    "purchase": ("purchase", "order", "transaction", "sale", "basket", "invoice", "receipt"),
    "rating": ("rating", "review"),
}
"""Words in names of files or columns that say what rows are, where no column does; else they are clicks."""

SPLIT_WORDS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "valid", "val", "dev", "vali"),
    "test": ("test", "te", "testing", "holdout"),
}


def plain(name: str) -> str:
    """The name in lower case, letters and digits alone."""
    return re.sub(r"[\W_]+", "", name.lower())


def role_rank(name: str, role: str) -> int | None:
    """How certain a column of this name has the role, 0 the most; None if the name says nothing of it."""
    names, bare = ROLE_NAMES[role], plain(name)
    if bare in names:
        return names.index(bare)
    words = {USER: USER_WORDS, ITEM: ITEM_WORDS}.get(role, ())
    says = any(word in bare for word in words) and bare.endswith(ID_WORDS)
    return len(names) if says else None


def best_column(names: Iterable[str], role: str) -> str | None:
    """The column whose name has the role most certainly."""
    ranked = [(rank, name) for name in names if (rank := role_rank(name, role)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def word_of(text: str, table: dict[str, tuple[str, ...]]) -> str | None:
    """The entry of a table of words that holds the word."""
    return next((entry for entry, words in table.items() if plain(text) in words), None)


def named_in(text: str, table: dict[str, tuple[str, ...]]) -> str | None:
    """The entry of a table, a word of which occurs in the text."""
    bare = plain(text)
    return next((entry for entry, words in table.items() if any(word in bare for word in words)), None)
