"""Productions → the parts of statements: names, numbers, strings, nodes, positions.

Each method is named for the rule it handles, and takes the rule's parts (a token by its index,
anything else as it was built) with the first and the last token of what the rule covers.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal

from circuitspec.language import syntax as s
from circuitspec.language.diagnostics import Diagnostic, Label, Span
from circuitspec.language.lexer import QUOTES, Tokens
from circuitspec.language.names import (
    CHANNELS,
    MOST_DIGITS,
    is_too_long,
    near_node,
    node_named,
    reserved,
)
from circuitspec.language.nodes import Channel

SHOWN = 40
"""How many characters of a word a message repeats."""

_ESCAPE = re.compile(r"\\(u\{[0-9A-Fa-f]{1,6}\}|.)", re.DOTALL)
_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t", "r": "\r"}

NODE_FORMS = "heads are written `a9.h6` (layer 9, head 6) or `9.6`, MLPs `m3`"
CHANNEL_FORMS = "heads are read at `.q`, `.k`, `.v`, `.qk`, `.qv`, `.kv` or `.qkv`, MLPs at `.in`"

Parts = list[Any]


def clean_doc(text: str) -> str:
    """A docstring without the indentation of its file and the blank space around it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    lines = [line.rstrip() for line in inspect.cleandoc(text).split("\n")]
    return "\n".join(lines).strip()


class Terms:
    """Makes what statements are made of, and notes the mistakes in it."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.diagnostics: list[Diagnostic] = []
        self.lost: set[str] = set()
        """Keywords of statements that were left out: what misses them has been told."""

    def report(
        self, code: str, message: str, span: Span, hint: str | None = None, *labels: Label
    ) -> None:
        """Note a mistake."""
        self.diagnostics.append(
            Diagnostic(code=code, message=message, span=span, hint=hint, labels=labels)
        )

    def span(self, first: int, last: int) -> Span:
        """From one token to another, both included."""
        return self.tokens.span(first, last)

    def shown(self, token: int) -> str:
        """A token for a message."""
        return f"`{self.tokens.text(token)[:SHOWN]}`"

    def word(self, parts: Parts, first: int, last: int) -> str:
        """A keyword kept as it is written."""
        return self.tokens.text(first)

    by_what = mean_over = patch_mode = unit = at_bound = comparison = plus = times = word

    # ── names ────────────────────────────────────────────────────────────────────────────────

    def name(self, parts: Parts, first: int, last: int) -> s.Name:
        """A name that refers to something."""
        return s.Name(text=self.tokens.text(first), span=self.span(first, first))

    constraint = name

    def declared(self, parts: Parts, first: int, last: int) -> s.Name:
        """A name that a statement gives: not one that the language keeps for itself."""
        name = self.name(parts, first, last)
        why = reserved(name.text)
        if why is not None:
            self.report(
                "C014",
                f"{self.shown(first)} cannot be a name: {why}",
                name.span,
                "choose another name",
            )
        return name

    def name_list(self, parts: Parts, first: int, last: int) -> tuple[s.Name, ...]:
        """Names with commas between."""
        return tuple(parts)

    def reference(self, parts: Parts, first: int, last: int) -> s.Ref:
        """A name, possibly dotted, of a word list or a slot."""
        return s.Ref(name=self.tokens.text(first), span=self.span(first, first))

    # ── strings ──────────────────────────────────────────────────────────────────────────────

    def string(self, parts: Parts, first: int, last: int) -> s.Text:
        """A string literal, unescaped."""
        raw = self.tokens.text(first)
        inner = raw[1:].rstrip(QUOTES) if first in self.tokens.broken else raw[1:-1]
        value = self.unescaped(inner, self.tokens.starts[first] + 1)
        return s.Text(value=value, span=self.span(first, first))

    def unescaped(self, raw: str, start: int) -> str:
        """`\\"`, `\\\\`, `\\n`, `\\t`, `\\r`, `\\u{E9}`; anything else after `\\` is a mistake."""
        if "\\" not in raw:
            return raw

        def value(found: re.Match[str]) -> str:
            escape = found[1]
            if escape in _ESCAPES:
                return _ESCAPES[escape]
            if len(escape) > 1:
                code = int(escape[2:-1], 16)
                if code < 0x110000 and not 0xD800 <= code < 0xE000:
                    return chr(code)
            self.report(
                "C013",
                f"`\\{escape}` is not an escape",
                self.tokens.place(start + found.start(), start + found.end()),
                'escapes are `\\"`, `\\\\`, `\\n`, `\\t`, `\\r` and `\\u{E9}`; '
                "a backslash itself is written `\\\\`",
            )
            return found[0]

        return _ESCAPE.sub(value, raw)

    def doc(self, token: int | None) -> str | None:
        """The docstring of a block."""
        if token is None:
            return None
        raw = self.tokens.text(token)
        return clean_doc(self.unescaped(raw[3:-3], self.tokens.starts[token] + 3))

    # ── numbers ──────────────────────────────────────────────────────────────────────────────

    def integer(self, parts: Parts, first: int, last: int) -> int:
        """A whole number, 0 included."""
        return self.whole(first, 0)

    def positive(self, parts: Parts, first: int, last: int) -> int:
        """A count: none of something says nothing."""
        return self.whole(first, 1)

    def whole(self, token: int, least: int) -> int:
        """A whole number of at least `least`; that where it is none."""
        text = self.tokens.text(token)
        if token in self.tokens.broken:
            return least
        if not text.isdigit() or len(text) > 15:
            self.report(
                "C010",
                f"a whole number is needed here, not {self.shown(token)}",
                self.span(token, token),
                "write fewer digits" if text.isdigit() else "write it with digits only",
            )
            return least
        if int(text) < least:
            self.report("C010", f"this must be at least {least}", self.span(token, token))
            return least
        return int(text)

    def number(self, parts: Parts, first: int, last: int) -> s.Number:
        """A number as it is written."""
        return self.number_at(first, last, percent=False)

    def percent(self, parts: Parts, first: int, last: int) -> s.Number:
        """A number with `%`."""
        return self.number_at(first, last, percent=True)

    def number_at(self, first: int, last: int, *, percent: bool) -> s.Number:
        """A number that a float can hold."""
        text, span = self.tokens.text(first), self.span(first, last)
        if first in self.tokens.broken:
            return s.Number(text="0", span=span)
        if len(text) > SHOWN or float(text) == float("inf"):
            self.report("C010", "this number has too many digits", span, "round it")
            return s.Number(text="0", span=span)
        return s.Number(text=text, percent=percent, span=span)

    def confidence(self, parts: Parts, first: int, last: int) -> s.Number:
        """The percentage after `ci`."""
        text, span = self.tokens.text(last), self.span(last, last)
        if last in self.tokens.broken:
            return s.Number(text="95", span=span)
        if len(text) > 15 or not 50 <= float(text) < 100:
            self.report(
                "C010",
                f"a confidence of {text[:SHOWN]}% makes no sense",
                span,
                "write a percentage from 50 to just under 100: `ci 95`",
            )
            return s.Number(text="95", span=span)
        return s.Number(text=text, span=span)

    # ── nodes ────────────────────────────────────────────────────────────────────────────────

    def nodes(self, parts: Parts, first: int, last: int) -> tuple[Any, ...]:
        """A list without the members that were mistaken."""
        return tuple(part for part in parts if part is not None)

    targets = receivers = nodes

    def node(self, parts: Parts, first: int, last: int) -> s.NodeLiteral | None:
        """A node written out."""
        return self.node_at(first)

    def node_at(self, token: int) -> s.NodeLiteral | None:
        """The node that a token writes out; else a diagnostic."""
        node = node_named(self.tokens.text(token))
        if node is None:
            self.not_a_node(token)
            return None
        return s.NodeLiteral(node=node, span=self.span(token, token))

    def not_a_node(self, token: int) -> None:
        """Say what would be one."""
        if token not in self.tokens.broken:
            text = self.tokens.text(token)
            base, _, channel = text.rpartition(".")
            near = near_node(text)
            if near is None and channel in CHANNELS and near_node(base) is not None:
                near = f"{near_node(base)}.{channel}"
            hint = NODE_FORMS if near is None else f"write `{near}`"
            if is_too_long(text):
                hint = f"no layer or head has a number of more than {MOST_DIGITS} digits"
            self.report(
                "C009",
                f"{self.shown(token)} is not a head or an MLP",
                self.span(token, token),
                hint,
            )

    def node_range(self, parts: Parts, first: int, last: int) -> s.NodeRange | None:
        """`m4..m6`."""
        low, high = (self.node_at(token) for token in parts)
        if low is None or high is None:
            return None
        return s.NodeRange(first=low, last=high, span=self.span(first, last))

    target_range = node_range

    def target(self, parts: Parts, first: int, last: int) -> s.Target | None:
        """A node written out, or the name of a role or group."""
        text = self.tokens.text(first)
        if self.tokens.kind[first] == "NAME":
            return self.target_named(first, text)
        base, _, channel = text.rpartition(".")
        if channel in CHANNELS and base:
            self.report(
                "C017",
                f"{self.shown(first)} names a channel, and only what receives has one",
                self.span(first, first),
                f"write `{base[:SHOWN]}` here",
            )
            return None
        return self.node_at(first)

    def target_named(self, token: int, name: str) -> s.Ref | s.NodeLiteral | None:
        """A word without dots at the start of a token."""
        start = self.tokens.starts[token]
        span = self.tokens.place(start, start + len(name))
        node = node_named(name)
        if node is not None:
            return s.NodeLiteral(node=node, span=span)
        if near_node(name) is not None:
            self.not_a_node(token)
            return None
        return s.Ref(name=name, span=span)

    def receiver(self, parts: Parts, first: int, last: int) -> s.Receiver | None:
        """`movers.kv`, `a9.h9.q`, `m3.in`, `logits`."""
        target = self.receiving(first)
        if target is None:
            return None
        return s.Receiver(target=target[0], channels=target[1], span=self.span(first, first))

    def receiver_range(self, parts: Parts, first: int, last: int) -> s.Receiver | None:
        """`m0..m3.in`."""
        low, end = self.node_at(first), self.receiving(last)
        if end is not None and not isinstance(end[0], s.NodeLiteral):
            self.not_a_node(last)
        if low is None or end is None or not isinstance(end[0], s.NodeLiteral):
            return None
        span = self.span(first, last)
        target = s.NodeRange(first=low, last=end[0], span=span)
        return s.Receiver(target=target, channels=end[1], span=span)

    def receiving(self, token: int) -> tuple[s.Ref | s.NodeLiteral, tuple[Channel, ...]] | None:
        """A target and the channels after its last dot."""
        text = self.tokens.text(token)
        base, _, channel = text.rpartition(".")
        channels: tuple[Channel, ...] = ()
        if not base or node_named(text) is not None:
            base = text
        elif channel in CHANNELS:
            channels = CHANNELS[channel]
            if node_named(base) is None and near_node(base) is not None:
                self.not_a_node(token)
                return None
        elif near_node(text) is not None:
            self.not_a_node(token)
            return None
        else:
            self.not_a_channel(token, base, channel)
            return None
        if base.isidentifier():
            target = self.target_named(token, base)
            return None if target is None else (target, channels)
        node = node_named(base)
        if node is None:
            self.not_a_node(token)
            return None
        start = self.tokens.starts[token]
        span = self.tokens.place(start, start + len(base))
        return s.NodeLiteral(node=node, span=span), channels

    def not_a_channel(self, token: int, base: str, channel: str) -> None:
        """Say which channels there are."""
        end = self.tokens.ends[token]
        ordered = "".join(c for c in "qkv" if c in channel)
        is_mixed = bool(channel) and set(channel) <= set("qkv")
        self.report(
            "C017",
            f"`.{channel[:SHOWN]}` is not a channel",
            self.tokens.place(end - len(channel) - 1, end),
            f"write `{base[:SHOWN]}.{ordered}`" if is_mixed else CHANNEL_FORMS,
        )

    # ── positions ────────────────────────────────────────────────────────────────────────────

    def position(self, parts: Parts, first: int, last: int) -> Any:
        """A single place."""
        return parts[0]

    def position_range(self, parts: Parts, first: int, last: int) -> s.PositionExpr:
        """`P[0]..P[3]`."""
        low, high = parts
        return s.PositionExpr(
            label=low.label,
            index=low.index,
            offset=low.offset,
            end=high,
            span=self.span(first, last),
        )

    def label(self, parts: Parts, first: int, last: int) -> s.PositionExpr:
        """`S1`, `S1[0]`, `S1+1`."""
        label, index, offset = parts
        return s.PositionExpr(
            label=self.tokens.text(label),
            index=index,
            offset=offset or 0,
            span=self.span(first, last),
        )

    def index(self, parts: Parts, first: int, last: int) -> int:
        """`[0]`."""
        return int(parts[0])

    offset = index

    def index_from_end(self, parts: Parts, first: int, last: int) -> int:
        """`[-1]`."""
        if parts[0] == 0 and self.tokens.broken.isdisjoint(range(first, last + 1)):
            self.report(
                "C010",
                "`-0` is not an index",
                self.span(first, last),
                "the last token is `[-1]`, the first `[0]`",
            )
        return -int(parts[0])

    def index_all(self, parts: Parts, first: int, last: int) -> Literal["*"]:
        """`[*]`."""
        return "*"

    def offset_left(self, parts: Parts, first: int, last: int) -> int:
        """`-1`."""
        return -int(parts[0])
