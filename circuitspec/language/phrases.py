"""Records of the tree → the words of the language, without layout.

A statement is a list of cells and a cell a list of pieces: cells line up with those of the
statements above and below, and a line that is too long is broken between pieces.
"""

from __future__ import annotations

from circuitspec.language import syntax as s

Cell = list[str]

_COMPARISON, _SUM, _PRODUCT, _UNARY, _POSTFIX, _ATOM = range(6)
_LEVELS = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "mod": _PRODUCT}
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: str) -> str:
    """A string literal."""
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else _by_number(character)


def _by_number(character: str) -> str:
    """What cannot be seen is written by its number; halves of surrogate pairs stay as they are."""
    code = ord(character)
    return character if 0xD800 <= code < 0xE000 else f"\\u{{{code:X}}}"


def doc_lines(doc: str) -> list[str]:
    """The lines of a docstring with its quotes, all to be indented alike."""
    safe = []
    for i, character in enumerate(doc):
        if character == '"':
            alone = 0 < i < len(doc) - 1 and '"' not in (doc[i - 1], doc[i + 1])
            safe.append('"' if alone else '\\"')
        elif character == "\\":
            safe.append("\\\\")
        elif character == "\n" or character.isprintable():
            safe.append(character)
        else:
            safe.append(_by_number(character))
    text = "".join(safe)
    if "\n" not in text:
        return [f'"""{text}"""']
    return ['"""', *text.split("\n"), '"""']


# ── expressions ──────────────────────────────────────────────────────────────────────────────────


def print_expr(expr: s.Expr) -> str:
    """An expression, with the parentheses it needs and no others."""
    return " ".join(_pieces(expr, _COMPARISON))


def _pieces(expr: s.Expr, level: int) -> Cell:
    """An expression as an operand at a level of precedence; sums may be broken before signs."""
    own = level_of(expr)
    if own < level:
        return [f"({print_expr(expr)})"]
    match expr:
        case s.Binary(operator=operator, left=left, right=right) if operator in ("+", "-"):
            return [*_pieces(left, _SUM), f"{operator} {_text(right, _PRODUCT)}"]
        case s.Binary(operator=operator, left=left, right=right):
            on_left = own if own != _COMPARISON else _SUM
            return [f"{_text(left, on_left)} {operator} {_text(right, own + 1)}"]
        case s.Unary(operand=operand):
            return [f"-{_text(operand, _UNARY)}"]
        case s.At(value=value, position=position):
            return [f"{_text(value, _ATOM)} at {_after_at(position)}"]
        case _:
            return [_atom(expr)]


def _text(expr: s.Expr, level: int) -> str:
    return " ".join(_pieces(expr, level))


def level_of(expr: s.Expr) -> int:
    """How tightly an expression holds together."""
    match expr:
        case s.Binary(operator=operator):
            return _LEVELS.get(operator, _COMPARISON)
        case s.Unary():
            return _UNARY
        case s.At():
            return _POSTFIX
        case _:
            return _ATOM


def _atom(expr: s.Expr) -> str:
    match expr:
        case s.Number():
            return number(expr)
        case s.Text(value=value):
            return quoted(value)
        case s.Ref(name=name):
            return name
        case s.NodeLiteral(node=node):
            return str(node)
        case s.Subscript(label=label, index=index):
            return f"{label.name}[{index}]"
        case s.Call(function=function, arguments=arguments, keywords=keywords):
            parts = [print_expr(argument) for argument in arguments]
            parts += [f"{word.name} = {print_expr(word.value)}" for word in keywords]
            return f"{function}({', '.join(parts)})"
        case _:
            return f"({print_expr(expr)})"


def _after_at(position: s.PositionExpr) -> str:
    bare = position.label != "*" and not position.offset and position.end is None
    return print_position(position) if bare else f"({print_position(position)})"


def number(value: s.Number) -> str:
    """A number as it was written."""
    return f"{value.text}%" if value.percent else value.text


# ── positions and targets ────────────────────────────────────────────────────────────────────────


def print_position(position: s.PositionExpr) -> str:
    """`S1[-1]+1`, `P[0]..P[3]`."""
    index = "" if position.index is None else f"[{position.index}]"
    offset = f"{position.offset:+d}" if position.offset else ""
    end = "" if position.end is None else f"..{print_position(position.end)}"
    return f"{position.label}{index}{offset}{end}"


def print_positions(places: s.PositionList) -> str:
    """`A, B`, or `(A, B)` for a list that pairs up with another."""
    inner = ", ".join(print_position(p) for p in places.positions)
    return f"({inner})" if places.paired else inner


def print_target(target: s.Target) -> str:
    """`movers`, `a9.h9`, `m4..m6`."""
    match target:
        case s.Ref(name=name):
            return name
        case s.NodeLiteral(node=node):
            return str(node)
        case s.NodeRange(first=first, last=last):
            return f"{first.node}..{last.node}"


def print_receiver(receiver: s.Receiver) -> str:
    """`movers.kv`, `logits`."""
    channels = "".join(receiver.channels)
    return print_target(receiver.target) + (f".{channels}" if channels else "")


def led(word: str, pieces: Cell, end: str = "") -> Cell:
    """Pieces that a word leads: no line is broken right after it."""
    out = [f"{word} {pieces[0]}", *pieces[1:]]
    return [*out[:-1], out[-1] + end]


def commas(parts: list[str]) -> Cell:
    """Pieces of a list: a line may be broken after each comma."""
    return [f"{part}," for part in parts[:-1]] + parts[-1:]


def _targets(targets: tuple[s.Target, ...]) -> Cell:
    return commas([print_target(t) for t in targets])


def _names(names: tuple[s.Name, ...]) -> Cell:
    return commas([name.text for name in names])


# ── statements ───────────────────────────────────────────────────────────────────────────────────


def cells(statement: s.Located) -> list[Cell]:
    """A statement that opens no block, as cells."""
    match statement:
        case s.Use(path=path, names=names):
            if not names:
                return [[f"use {quoted(path.value)}"]]
            return [[*led("use", _names(names)), f"from {quoted(path.value)}"]]
        case s.Template(name=name, text=text):
            return [[f"template {name}"], [quoted(text.value)]]
        case s.Slot():
            return _slot(statement)
        case s.Words(name=name, source=source):
            return [[f"words {name}"], led("=", _source(source))]
        case s.Table(name=name, entries=entries):
            pairs = [f"{quoted(key.value)}: {quoted(value.value)}" for key, value in entries]
            return [[f"table {name}"], led("{", commas(pairs), " }")]
        case s.PositionDeclaration(name=name, value=value):
            return [[f"position {name}"], _equals(value)]
        case s.Metric(name=name, value=value):
            return [[f"metric {name}"], _equals(value)]
        case s.Baseline(name=name, value=value):
            return [[f"baseline {name}"], _equals(value)]
        case s.Sample():
            return [_sample(statement)]
        case s.Bos(prepend=prepend):
            return [["bos yes" if prepend else "bos no"]]
        case s.Tokens(range=span):
            return [[f"tokens integer {span.first}..{span.last}"]]
        case s.Answers(style=style):
            return [[f"answers {style}"]]
        case s.PromptsFile(path=path):
            return [[f"prompts from {quoted(path.value)}"]]
        case s.Task(name=name):
            return [[f"task {name}"]]
        case _:
            return _circuit(statement)


def _equals(value: s.Expr) -> Cell:
    first, *rest = _pieces(value, _COMPARISON)
    return [f"= {first}", *rest]


def _slot(slot: s.Slot) -> list[Cell]:
    source: Cell = []
    if slot.value is not None:
        source = _equals(slot.value)
    elif slot.source is not None:
        source = led("from", _source(slot.source))
    return [led("slot", _names(slot.names)), source, [c.text for c in slot.constraints]]


def _source(source: s.SlotSource) -> Cell:
    match source:
        case s.Ref(name=name):
            return [name]
        case s.WordList(words=words):
            return commas([quoted(word.value) for word in words])
        case s.WordsFile(path=path):
            return [f"file {quoted(path.value)}"]
        case s.IntegerRange(first=first, last=last):
            return [f"{first}..{last}"]


def _sample(sample: s.Sample) -> Cell:
    parts = ["all" if sample.evaluation == "all" else f"evaluation {_count(sample.evaluation)}"]
    if sample.reference is not None:
        parts.append(f"reference {_count(sample.reference)}")
    if sample.pool is not None:
        parts.append(f"pool {_count(sample.pool)}")
    if sample.seed is not None:
        parts.append(f"seed {sample.seed}")
    return led("sample", commas(parts))


def _count(count: s.Count | str) -> str:
    if isinstance(count, str):
        return count
    return f"{count.number} each template" if count.each_template else str(count.number)


def _circuit(statement: s.Located) -> list[Cell]:
    match statement:
        case s.ModelStatement(reference=reference, revision=revision):
            end = "" if revision is None else f" revision {quoted(revision.value)}"
            return [[f"model {quoted(reference.value)}{end}"]]
        case s.Role(name=name, nodes=nodes, at=at, attends=attends, carries=carries):
            return [
                [f"role {name}"],
                led("=", commas([print_target(node) for node in nodes])),
                [f"@ {print_positions(at)}"],
                [] if attends is None else [f"attends {print_positions(attends)}"],
                led("carries", commas([print_expr(c) for c in carries])) if carries else [],
            ]
        case s.Open(nodes=nodes, at=at, reason=reason):
            listed = commas([print_target(node) for node in nodes])
            return [led("open", listed), [f"@ {print_positions(at)}"], [quoted(reason.value)]]
        case s.Keep(targets=targets, at=at):
            return [led("keep", _targets(targets)), [f"@ {print_positions(at)}"]]
        case s.Edge(senders=senders, receivers=receivers, at=at, within=within):
            place = [] if at is None else [f"at {print_positions(at)}"]
            if within is not None:
                return [[f"edge within {within}"], place]
            arrow = led("->", commas([print_receiver(r) for r in receivers]))
            return [led("edge", _targets(senders)), arrow, place]
        case s.Group(name=name, roles=roles):
            return [[f"group {name}"], led("=", _names(roles))]
        case s.Drop(roles=roles):
            return [led("drop", _names(roles))]
        case s.Sweep(over=over, values=values):
            if not values:
                return [[f"sweep {over}"]]
            return [led(f"sweep {over}", commas([quoted(value.value) for value in values]))]
        case _:
            return [_action(statement)]


def _action(statement: s.Located) -> Cell:
    match statement:
        case s.Ablate(targets=targets, by=by, value=value):
            what = [targets] if isinstance(targets, str) else _targets(targets or ())
            how = ([] if by is None else [f"by {by}"]) + (
                [] if value is None else [f"with {_ablation_value(value)}"]
            )
            return led("ablate", [*what, *how]) if what or how else ["ablate"]
        case s.Patch(mode=mode, senders=senders, hops=hops, baseline=baseline, through=through):
            path = [
                piece
                for hop in hops
                for piece in led("->", commas([print_receiver(r) for r in hop]))
            ]
            way = {None: [], "direct": ["direct"], "mlps": ["through mlps"]}[through]
            return [
                *led("patch" if mode is None else f"patch {mode}", _targets(senders)),
                *path,
                f"from {baseline}",
                *way,
            ]
        case s.Scrub(over=over, draws=draws, roles=roles):
            count = [] if draws is None else [f"draws {draws}"]
            return led("scrub", [*_names(roles), f"over {over}", *count])
        case s.Given(targets=targets):
            return led("given ablated", _targets(targets))
        case s.Run(baseline=baseline, restore=restore, at=at):
            back = led("restore", _targets(restore)) if restore else []
            place = [] if at is None or not restore else [f"@ {print_positions(at)}"]
            return [f"run from {baseline}", *back, *place]
        case s.Knockouts():
            return led("knockouts", commas(_knockouts(statement)))
        case s.Each(unit=unit, given=given):
            return [f"each {unit}", *_given(given)]
        case s.Accept(what=what):
            return [f"accept {what}"]
        case s.Until(at_most=at_most):
            return [f"until decided, at most {at_most}"]
        case s.Require():
            return _require(statement)
        case _:
            raise TypeError(f"{type(statement).__name__} is no statement")


def _ablation_value(value: s.AblationValue) -> str:
    if value.kind == "noise" and value.scale is not None:
        return f"noise {number(value.scale)}"
    text = value.kind if value.baseline is None else f"{value.kind} from {value.baseline}"
    if value.over is not None:
        text += f" over {value.over}"
    return text if value.draws is None else f"{text} draws {value.draws}"


def _knockouts(sets: s.Knockouts) -> list[str]:
    parts = [name for name, wanted in (("groups", sets.groups), ("roles", sets.roles)) if wanted]
    if sets.random is not None:
        parts.append(f"random {sets.random}")
    if sets.greedy is not None:
        parts.append("greedy " + "x".join(str(n) for n in sets.greedy))
    return parts + [f"{{ {' '.join(_targets(members))} }}" for members in sets.sets]


def _given(given: tuple[s.GivenSet, ...]) -> Cell:
    if not given:
        return []
    parts = []
    for one in given:
        members = f"{' '.join(_targets(one.members))}: " if one.members else ""
        what = " ".join(_targets(one.given)) if one.given else "role"
        parts.append(f"{members}{what}{' before it' if one.before else ''}")
    return led("given {", [f"{part};" for part in parts[:-1]] + parts[-1:], " }")


def _require(claim: s.Require) -> Cell:
    start = "require each" if claim.each else "require"
    left, right = _pieces(claim.left, _SUM), _pieces(claim.right, _SUM)
    level = [] if claim.level is None else [f"ci {number(claim.level)}"]
    tolerance = "" if claim.tolerance is None else number(claim.tolerance)
    if claim.operator == "within":
        return [*led(start, left), *led(f"within {tolerance} of", right), *level]
    band = [f"+- {tolerance}"] if tolerance else []
    return [*led(start, left), f"{claim.operator} {right[0]}", *right[1:], *band, *level]
