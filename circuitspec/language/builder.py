"""Productions of the grammar → records of the syntax tree.

Most productions are a row of `shapes.SHAPES`; those whose parts need more than to be put into
fields have a method here, the parts of statements in `terms` and `expressions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from circuitspec.language import syntax as s
from circuitspec.language.diagnostics import NO_SPAN
from circuitspec.language.expressions import Expressions
from circuitspec.language.shapes import SHAPES, Shape
from circuitspec.language.terms import Parts

Clause = tuple[str, Any, int, int]
"""A part of a statement that may stand in any order: name, value, first and last token."""

Handler = Callable[[Parts, int, int], Any]


class Builder(Expressions):
    """Makes the statements of a tree."""

    def handler(self, callback: str) -> Handler:
        """What makes of a rule's parts what the tree holds."""
        method: Handler | None = getattr(self, callback, None)
        if method is not None:
            return method
        if callback in SHAPES:
            return self.of_shape(Shape(*SHAPES[callback]))
        return only_inline

    def of_shape(self, shape: Shape) -> Handler:
        """A handler that puts parts into the fields of a record."""
        record: Any = shape.record

        def build(parts: Parts, first: int, last: int) -> Any:
            values = shape.make(parts)
            if "doc" in values:
                values["doc"] = self.doc(values["doc"])
            return record(**values, span=self.tokens.span(first, last))

        return build

    def clauses(self, parts: list[Clause]) -> dict[str, Any]:
        """Clauses by name, the first where one is written twice."""
        # `at` is the field of what is written `@`.
        shown = {"at": "@"}
        self.once((shown.get(name, name), self.span(a, b)) for name, _, a, b in parts)
        return {name: value for name, value, _, _ in reversed(parts)}

    # ── file and task ────────────────────────────────────────────────────────────────────────

    def spec(self, parts: Parts, first: int, last: int) -> s.SpecFile:
        """The whole file. A version that was not written is `None`."""
        doc, version, *statements = parts
        text = "1" if version is None else self.tokens.text(version)
        return s.SpecFile(
            version=int(text),
            statements=tuple(statements),
            doc=self.doc(doc),
            comments=tuple(self.tokens.comments),
            header=NO_SPAN if version is None else self.span(version - 1, version),
            span=self.span(first, last),
        )

    def task_block(self, parts: Parts, first: int, last: int) -> tuple[Any, ...]:
        """The statements of a task."""
        return tuple(parts)

    def slot_drawn(self, parts: Parts, first: int, last: int) -> s.Slot:
        """`slot A, B from SOURCE constraints`."""
        names, source, *constraints = parts
        return s.Slot(
            names=names,
            source=source,
            constraints=self.constraints(constraints),
            span=self.span(first, last),
        )

    def slot_computed(self, parts: Parts, first: int, last: int) -> s.Slot:
        """`slot A = VALUE constraints`."""
        names, value, *constraints = parts
        return s.Slot(
            names=names,
            value=value,
            constraints=self.constraints(constraints),
            span=self.span(first, last),
        )

    def constraints(self, names: list[s.Name]) -> tuple[s.Name, ...]:
        """Constraints, each written once."""
        self.once((name.text, name.span) for name in names)
        return tuple({name.text: name for name in reversed(names)}.values())[::-1]

    def entry(self, parts: Parts, first: int, last: int) -> tuple[s.Text, s.Text]:
        """A row of a table."""
        return parts[0], parts[1]

    def count_all(self, parts: Parts, first: int, last: int) -> Literal["all"]:
        """As many as there are."""
        return "all"

    def sample(self, parts: list[Clause], first: int, last: int) -> s.Sample:
        """How many prompts of which kind."""
        span = self.span(first, last)
        values = self.clauses(parts)
        if "evaluation" not in values:
            self.report(
                "C018",
                "`sample` does not say how many prompts to evaluate",
                span,
                "write `sample evaluation 200, ...`, or `sample all`",
            )
        return s.Sample(**({"evaluation": "all"} | values), span=span)

    def sample_all(self, parts: Parts, first: int, last: int) -> Clause:
        """`sample all`: evaluate on every prompt there is."""
        return ("evaluation", "all", first, last)

    def sample_evaluation(self, parts: Parts, first: int, last: int) -> Clause:
        """`evaluation N`."""
        return ("evaluation", parts[0], first, last)

    def sample_reference(self, parts: Parts, first: int, last: int) -> Clause:
        """`reference N`."""
        return ("reference", parts[0], first, last)

    def sample_pool(self, parts: Parts, first: int, last: int) -> Clause:
        """`pool N`."""
        return ("pool", parts[0], first, last)

    def sample_seed(self, parts: Parts, first: int, last: int) -> Clause:
        """`seed N`."""
        return ("seed", parts[0], first, last)

    # ── circuit ──────────────────────────────────────────────────────────────────────────────

    def role(self, parts: Parts, first: int, last: int) -> s.Role:
        """A role with its clauses, which may stand in any order."""
        name, nodes, *clauses = parts
        span = self.span(first, last)
        values = self.clauses(clauses)
        if "at" not in values:
            self.report(
                "C018",
                f"role `{name.text}` does not say at which position it lives",
                span,
                "add `@ POSITION` after its heads, or `@ *` for every position",
            )
            values["at"] = s.PositionList(positions=(s.PositionExpr(label="*"),))
        return s.Role(name=name, nodes=nodes, **values, span=span)

    def at_clause(self, parts: Parts, first: int, last: int) -> Clause:
        """`@ END`."""
        return ("at", parts[0], first, last)

    def attends_clause(self, parts: Parts, first: int, last: int) -> Clause:
        """`attends S2`."""
        return ("attends", parts[0], first, last)

    def carries_clause(self, parts: Parts, first: int, last: int) -> Clause:
        """`carries token(S1), position(S1)`."""
        return ("carries", tuple(parts), first, last)

    # ── claims ───────────────────────────────────────────────────────────────────────────────

    def protocol(self, parts: Parts, first: int, last: int) -> s.Protocol:
        """What claims share."""
        doc, name, *statements = parts
        actions, _ = self.claim(statements)
        return s.Protocol(
            name=name, actions=actions, doc=self.doc(doc), span=self.span(first, last)
        )

    def expect(self, parts: Parts, first: int, last: int) -> s.Expect:
        """One claim."""
        doc, refuted, name, under, *statements = parts
        actions, requirements = self.claim(statements)
        return s.Expect(
            name=name,
            refuted=refuted is not None,
            under=under,
            actions=actions,
            requirements=requirements,
            doc=self.doc(doc),
            span=self.span(first, last),
        )

    def refuted(self, parts: Parts, first: int, last: int) -> Literal[True]:
        """The claim is that this is false."""
        return True

    each_one = refuted

    def claim(self, statements: Parts) -> tuple[tuple[s.Action, ...], tuple[s.Require, ...]]:
        """The actions and requirements of a block; `given { ... }` joins the `each` before it."""
        actions: list[Any] = []
        requirements = []
        orphans: list[Clause] = []
        joined: dict[int, Clause] = {}
        for statement in statements:
            if isinstance(statement, s.Require):
                requirements.append(statement)
            elif not isinstance(statement, tuple):
                actions.append(statement)
            elif actions and isinstance(actions[-1], s.Each):
                self.join(actions, len(actions) - 1, statement, joined)
            else:
                orphans.append(statement)
        each = [n for n, action in enumerate(actions) if isinstance(action, s.Each)]
        for clause in orphans:
            if each:
                self.join(actions, each[-1], clause, joined)
                continue
            if "each" in self.lost:
                continue
            self.report(
                "C018",
                "`given { ... }` names the sets of an `each`, and there is none in this block",
                self.span(clause[2], clause[3]),
                "write `each head given { ... }`; "
                "to measure under a further knock-out write `given ablated ROLE`",
            )
        return tuple(actions), tuple(requirements)

    def join(self, actions: list[Any], n: int, clause: Clause, joined: dict[int, Clause]) -> None:
        """Give an `each` its sets, once."""
        name, sets, first, last = clause
        if n in joined:
            earlier = joined[n]
            self.once([(name, self.span(*earlier[2:])), (name, self.span(first, last))])
            return
        joined[n] = clause
        span = actions[n].span
        if span.end <= self.tokens.starts[first]:
            span = self.tokens.place(span.start, self.tokens.ends[last])
        actions[n] = s.Each(unit=actions[n].unit, given=sets, span=span)

    def given_sets(self, parts: Parts, first: int, last: int) -> Clause:
        """`given { ... }` after `each head`."""
        return ("given", tuple(parts), first, last)

    def ablate(self, parts: Parts, first: int, last: int) -> s.Ablate:
        """What is cut, and how."""
        targets, by, value = parts
        if targets == (s.Ref(name="complement"),):
            targets = "complement"
        return s.Ablate(targets=targets, by=by, value=value, span=self.span(first, last))

    def direct(self, parts: Parts, first: int, last: int) -> Literal["direct"]:
        """Path patching with MLPs frozen."""
        return "direct"

    def through_mlps(self, parts: Parts, first: int, last: int) -> Literal["mlps"]:
        """Path patching with MLPs recomputed."""
        return "mlps"

    def patch(self, parts: Parts, first: int, last: int) -> s.Patch:
        """Activation patching, or path patching where there are arrows."""
        mode, senders, *hops, baseline, through = parts
        return s.Patch(
            mode=mode,
            senders=senders,
            hops=tuple(hops),
            baseline=baseline,
            through=through,
            span=self.span(first, last),
        )

    def hop(self, parts: Parts, first: int, last: int) -> Any:
        """The receivers after one arrow."""
        return parts[0]

    def knockouts(self, parts: list[Clause], first: int, last: int) -> s.Knockouts:
        """The sets K of a completeness claim."""
        sets = tuple(value for name, value, _, _ in parts if name == "set")
        values = self.clauses([clause for clause in parts if clause[0] != "set"])
        return s.Knockouts(**values, sets=sets, span=self.span(first, last))

    def knockout_groups(self, parts: Parts, first: int, last: int) -> Clause:
        """Each group."""
        return ("groups", True, first, last)

    def knockout_roles(self, parts: Parts, first: int, last: int) -> Clause:
        """Each role."""
        return ("roles", True, first, last)

    def knockout_random(self, parts: Parts, first: int, last: int) -> Clause:
        """So many random sets."""
        return ("random", parts[0], first, last)

    def knockout_set(self, parts: Parts, first: int, last: int) -> Clause:
        """A set written out."""
        return ("set", parts[0], first, last)

    def knockout_greedy(self, parts: Parts, first: int, last: int) -> Clause:
        """`greedy 10x10x10`: runs, steps, candidates a step."""
        texts = self.tokens.text(last).split("x")
        if any(len(text) > 9 or int(text) == 0 for text in texts):
            self.report(
                "C010",
                "runs, steps and candidates of a greedy search must each be at least 1",
                self.span(last, last),
                "write for example `greedy 10x10x10`",
            )
            texts = ["1", "1", "1"]
        runs, steps, candidates = (int(text) for text in texts)
        return ("greedy", (runs, steps, candidates), first, last)


def only_inline(parts: Parts, first: int, last: int) -> Any:
    """Rules without a handler only ever pass on their single child."""
    raise AssertionError(parts)
