"""How deeply a value is nested: what is read from outside is refused before anything walks into it."""


def is_nested_deeper(value: object, limit: int) -> bool:
    """Say whether lists and objects stand in each other more than `limit` deep; looks without recursion."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > limit:
            return True
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += [(item, depth + 1) for item in inner if isinstance(item, dict | list)]
    return False
