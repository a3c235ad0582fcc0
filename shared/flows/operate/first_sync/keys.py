"""Which business keys people take for the same."""

from unicodedata import category, combining, normalize


def alike(key: str) -> str:
    """Fold a key to what it shares with keys that are probably meant to be the same.

    Dynamics' usual collation takes keys for equal that differ by case, accents or spaces at the end. Other spaces and
    dashes are folded as well, because a person who types a key again seldom types those alike.

    Returns:
        The same text for `ÁCT 01`, `act01` and `Act 01 `; for `A-1` with a hyphen and with a dash.
    """
    if not key.isascii():
        plain = (char for char in normalize("NFKD", key) if not combining(char) and category(char) != "Cf")
        key = "".join("-" if category(char) == "Pd" else char for char in plain)
    return "".join(key.casefold().split())
