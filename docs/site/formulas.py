"""Formulas as the documents have them, Unicode text, as MathML, which browsers typeset."""

from __future__ import annotations

import re
from html import escape

#: A letter or digit that is no script itself; a letter.
_SIGN = r"(?![⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ₀₁₂₃₄₅₆₇₈₉])[^\W_]"
_LETTER = rf"(?!\d){_SIGN}"
_UP = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀ", "0123456789−+T", strict=True))
_DOWN = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_FUNCTIONS = {"div", "curl", "cosh", "sinh", "tanh", "coth", "csc", "ln", "cos", "sin", "exp"}
_WORD = (
    r"\[[A-Z]+\] eq\. \d+|(?:at|in|it|on|of|is|and|for|or|as|by)\b"
    r"|[A-Za-z]?[a-z]{2,}[a-z]\b\.?|ln\b"
)
#: Text, numbers, a letter that may have a hat, anything else.
_TOKEN = re.compile(
    rf"(?P<word>\b(?:{_WORD})|\[V\] eq\. \d+)|(?P<number>\d+(?:\.\d+)?)|(?P<one>.\u0302?)"
)
#: What follows a base in a formula.
_SCRIPT = re.compile(
    rf"(?P<sub>_(?:\{{[^}}]*\}}|(?:{_SIGN})+)|[₀-₉]+)"
    rf"|(?P<sup>\^(?:\{{[^}}]*\}}|{_SIGN})|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀ]+|[′″]+)"
)
#: A symbol of one letter with its scripts in a line of text; a derivative has one index, ∂_iX.
_ONE = rf"[_^](?:\{{[^}}]*\}}|(?:{_SIGN}){{1,8}})"
_SYMBOL = re.compile(
    rf"(?P<base>∂)(?P<one>_{_SIGN})|(?P<letter>{_LETTER}\u0302?[′″]?)(?P<first>{_ONE})"
    rf"(?P<second>{_ONE})?(?!{_SIGN}|[_^])"
)


def is_formula(text: str) -> bool:
    """Whether a block of text is a formula, and not what a program printed."""
    return bool(re.search("[∂∇∫∮Σσκρτ⟨λα²]|^L_z =", text)) and "±" not in text


def pieces(text: str) -> list[tuple[str, str]]:
    """Text with symbols such as J_t or X^j, in pieces that are "text", "sub" or "sup"."""
    out, last = [], 0
    for found in _SYMBOL.finditer(text):
        start = found.start()
        # The end of a word is no symbol, nor is what has two scripts of one kind.
        word = start > last and re.match(r"[^\W\d]|\.", text[start - 1])
        if word or (found["second"] or "")[:1] == (found["first"] or "_")[:1]:
            continue
        out.append(("text", text[last:start] + (found["base"] or found["letter"])))
        for script in filter(None, found.group("one", "first", "second")):
            out.append(("sub" if script[0] == "_" else "sup", script[1:].strip("{}")))
        last = found.end()
    return [piece for piece in [*out, ("text", text[last:])] if piece[1]]


def mathml(text: str) -> str:
    """A formula of one or several lines.

    Args:
        text: Lines of Unicode; three or more spaces separate parts of a line.

    Returns:
        One ``math`` element; its alternative text is the formula as it was.
    """
    rows = "".join(f"<mtr><mtd>{_line(line)}</mtd></mtr>" for line in text.rstrip().splitlines())
    table = f'<mtable columnalign="left" displaystyle="true">{rows}</mtable>'
    return f'<math display="block" alttext="{escape(text.strip())}">{table}</math>'


def _line(text: str) -> str:
    body = text.lstrip()
    parts = [_row(part) for part in re.split(r" {3,}", body)]
    indent = '<mspace width="1.5em"/>' if len(body) < len(text) else ""
    return indent + '<mspace width="2em"/>'.join(parts)


def _row(text: str) -> str:
    out, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None
        at = found.end()
        base, token = _element(found), found.group()
        below, above = "", ""
        while script := _SCRIPT.match(text, at):
            if script["sub"] and token == "∂" and text[at] == "_" and text[at + 1] != "{":
                below, at = _letters(text[at + 1]), at + 2
                continue
            if script["sub"]:
                below += _script(script["sub"])
            else:
                above += _script(script["sup"])
            at = script.end()
        out.append(_with(base, below, above))
    return f"<mrow>{''.join(out)}</mrow>"


def _element(found: re.Match[str]) -> str:
    token = found.group()
    if found["number"]:
        return f"<mn>{token}</mn>"
    if found["word"]:
        if token in _FUNCTIONS:
            return f'<mi>{token}</mi><mspace width="0.17em"/>'
        return f"<mtext>\u00a0{escape(token)}\u00a0</mtext>"
    if token.isspace():
        return '<mspace width="0.17em"/>'
    if token[0].isalpha() and token != "Σ":
        letter = f"<mi>{token[0]}</mi>"
        return f'<mover accent="true">{letter}<mo>^</mo></mover>' if len(token) > 1 else letter
    if token in "∇∂½ħ…":
        return f'<mi mathvariant="normal">{token}</mi>'
    if token in "Σ∫∮":
        return f'<mo largeop="false">{token.replace("Σ", "∑")}</mo>'
    return f'<mo stretchy="false">{escape(token)}</mo>'


def _script(text: str) -> str:
    if text[0] in "_^":
        inner = text[1:].strip("{}")
        # An abbreviation or a word, not indices.
        spelt = text[1] != "{" and (re.fullmatch("[a-z]{3,}|[A-Z][a-z]+", inner) is not None)
        return f"<mtext>{inner}</mtext>" if spelt else _letters(inner)
    return _letters("".join(_UP.get(c, _DOWN.get(c, c)) for c in text))


def _letters(text: str) -> str:
    def kind(c: str) -> str:
        return "mi" if c.isalpha() else "mn" if c.isdigit() else "mo"

    return "".join(f"<{kind(c)}>{escape(c)}</{kind(c)}>" for c in text)


def _with(base: str, below: str, above: str) -> str:
    scripts = "".join(f"<mrow>{each}</mrow>" for each in (below, above) if each)
    tag = {(True, True): "msubsup", (True, False): "msub", (False, True): "msup"}.get(
        (bool(below), bool(above))
    )
    return f"<{tag}><mrow>{base}</mrow>{scripts}</{tag}>" if tag else base
