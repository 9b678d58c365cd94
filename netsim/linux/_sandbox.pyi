"""Types of the binding; see _sandbox.pyx."""

Texts = tuple[tuple[bytes, bytes], ...]
Recipe = tuple[int, int, bytes, Texts, Texts, bytes, int, bytes]
Made = tuple[int, int, int, int, int, str, str, bytes]

def make(recipes: list[Recipe], home: int) -> list[Made]: ...
