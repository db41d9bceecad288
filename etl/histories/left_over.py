"""Users and items that are in the dataset only because the one before has them."""

from pyspark.sql import DataFrame

from conf.contract import ITEM_ID, USER_ID

_FRESH = "run once with etl.vocabulary=fresh to leave them out"


def left_over_warnings(
    users: DataFrame, items: DataFrame, known_users: DataFrame, known_items: DataFrame
) -> tuple[str, ...]:
    """Return warnings about users and items that a fresh dataset would not have.

    With `etl.vocabulary: extend` they keep their numbers, although a changed rule of cleaning, or
    a shorter log, leaves them out now.

    Args:
        users: USER_ID of the users that the inputs have now.
        items: ITEM_ID of the events that are kept, and of the table if it makes the catalogue.
        known_users: USER_ID of the dataset before.
        known_items: ITEM_ID of the dataset before.
    """
    texts = []
    num_users = _missing(known_users, users, USER_ID)
    if num_users:
        texts.append(
            f"{num_users} {'users' if num_users > 1 else 'user'} of the dataset before would not "
            "be in a fresh one: the log and the table of users lack them now, or a rule leaves "
            f"them out, as with bots; they keep their numbers and get fallback lists; {_FRESH}"
        )
    num_items = _missing(known_items, items, ITEM_ID)
    if num_items:
        texts.append(
            f"{num_items} {'items' if num_items > 1 else 'item'} of the dataset before would not "
            "be in a fresh one: no event with them is kept now; they keep their numbers and stay "
            f"in the catalogue; {_FRESH}"
        )
    return tuple(texts)


def _missing(known: DataFrame, now: DataFrame, id_column: str) -> int:
    return known.join(now.select(id_column).distinct(), id_column, "left_anti").count()
