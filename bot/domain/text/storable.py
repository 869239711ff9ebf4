"""Text that every database takes."""


def make_storable(text: str) -> str:
    """Replace what no database takes: half a surrogate pair, which JSON can carry, and NUL."""
    return text.encode(errors="surrogatepass").decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
