"""`refines` and `drop`: what a rival inherits, replaces and loses."""

from __future__ import annotations

from circuitspec.hypothesis.records import AblateSet, Hypothesis
from circuitspec.language.diagnostics import Severity

from .specs import GOOD, claim, findings, load, marked


def rival(*statements: str, good: str = GOOD) -> str:
    """`GOOD` with a hypothesis that refines it."""
    body = "".join(f"  {s}\n" for s in statements)
    return f"{good}\nhypothesis r refines h {{\n{body}}}\n"


def refined(*statements: str, good: str = GOOD) -> Hypothesis:
    return load(rival(*statements, good=good))[1]


def meaning(hypothesis: Hypothesis) -> tuple[object, ...]:
    return (
        hypothesis.model,
        hypothesis.task,
        hypothesis.roles,
        hypothesis.groups,
        hypothesis.kept,
        hypothesis.open_nodes,
        hypothesis.edges,
        hypothesis.claims,
    )


def test_a_rival_that_changes_nothing_is_the_same() -> None:
    parent, child = load(rival())
    assert meaning(parent) == meaning(child)
    assert (child.name, child.refines, child.dropped) == ("r", "h", ())


def test_a_role_declared_anew_replaces_its_namesake_everywhere() -> None:
    child = refined("role mover = a2.h2 @ END attends IO carries token(IO)")
    assert [str(n) for n in child.roles["mover"].nodes] == ["a2.h2"]
    senders = {str(e.sender) for p in child.edges if p.receiver == "logits" for e in p.edges}
    assert senders == {"a2.h2"}
    assert child.groups == {"late": ("inhibit", "mover")}
    complete = claim(child, "complete").completeness
    assert complete is not None
    late = next(k for k in complete.named if k.name == "late")
    assert {str(e) for e in late.elements} == {"a1.h0 @ END", "a1.h3 @ END", "a2.h2 @ END"}


def test_claims_tasks_and_models_are_replaced_too() -> None:
    child = refined('model "other"', "expect used { require attention(mover) >= 0.5 ci 95 }")
    assert child.model == "other"
    assert claim(child, "used").intervention is None
    assert len(child.claims) == 3


def test_edges_add_up() -> None:
    parent, child = load(
        rival("edge dup -> mover.v at S2", good=GOOD.replace("IO carries", "IO, S2 carries"))
    )
    before = {e for p in parent.edges for e in p.edges}
    after = {e for p in child.edges for e in p.edges}
    assert {str(e) for e in after - before} == {
        f"{s} -> {r}.v @ S2" for s in ("a0.h1", "a0.h2") for r in ("a2.h1", "a3.h0")
    }
    assert before < after


def test_drop_removes_a_role_and_every_mention() -> None:
    child = refined("drop dup")
    assert list(child.roles) == ["inhibit", "mover"]
    assert {p.sender for p in child.edges} == {"input", "inhibit", "mover"}
    assert {p.receiver for p in child.edges} == {"inhibit", "mover", "logits"}
    assert child.dropped == ("role dup", "edge input -> dup.qkv", "edge dup -> inhibit.kv")


def test_what_is_left_empty_goes_too_and_is_listed_in_a_note() -> None:
    text = rival("drop inhibit, mover")
    child = load(text)[1]
    assert child.groups == {}
    assert [c.name for c in child.claims] == ["faithful", "complete"]
    notes = [d for d in findings(text) if d.severity is Severity.NOTE]
    assert [d.code for d in notes] == ["H005"]
    assert marked(notes[0], text) == "h"
    for lost in ("group late", "edge inhibit -> mover.q", "expect used"):
        assert lost in notes[0].message
        assert lost in child.dropped
    # A line that keeps a receiver stays, without the one that is gone.
    assert "edge input -> inhibit.q, mover.kv" in child.dropped


def test_nodes_that_vanish_with_a_role_leave_claims_too() -> None:
    good = GOOD.replace(
        "  expect complete",
        "  expect both under paper { ablate a2.h1, dup require logit_diff <= 1 ci 95 }\n"
        "  expect alone under paper { ablate a2.h1 require logit_diff <= 1 ci 95 }\n"
        "  expect complete",
    )
    child = refined("drop mover", good=good)
    both = claim(child, "both").intervention
    assert isinstance(both, AblateSet)
    assert {str(e) for e in both.cut.elements} == {"a0.h1 @ S2", "a0.h2 @ S2"}
    assert "alone" not in {c.name for c in child.claims}
    assert "expect alone" in child.dropped


def test_a_claim_that_loses_its_condition_goes() -> None:
    good = GOOD.replace(
        "  expect complete",
        "  expect backed under paper { ablate inhibit given ablated dup "
        "require logit_diff <= 1 ci 95 }\n  expect complete",
    )
    assert "backed" in {c.name for c in load(good)[0].claims}
    child = refined("drop dup", good=good)
    assert "backed" not in {c.name for c in child.claims}
    assert "expect backed" in child.dropped


def test_a_requirement_about_a_dropped_role_goes_and_the_rest_stays() -> None:
    good = GOOD.replace(
        "    ablate complement\n",
        "    ablate complement\n    require attention(dup) >= 0.5 ci 95\n",
    )
    child = refined("drop dup", good=good)
    assert [r.text for r in claim(child, "faithful").requirements] == [
        "logit_diff within 20% of model.logit_diff ci 95"
    ]
    assert "require attention(dup) >= 0.5 ci 95 of faithful" in child.dropped


def test_refinements_of_refinements_add_up() -> None:
    text = rival("drop dup") + "\nhypothesis s refines r {\n  drop inhibit\n}\n"
    last = load(text)[2]
    assert list(last.roles) == ["mover"]
    assert last.dropped[0] == "role dup"
    assert "role inhibit" in last.dropped


def test_a_mistake_is_not_reported_again_for_every_heir() -> None:
    bad = GOOD.replace("edge dup -> inhibit.kv", "edge dupp -> inhibit.q")
    alone = [d.code for d in findings(bad)]
    heirs = [d.code for d in findings(rival(good=bad))]
    assert alone == heirs == ["H001", "H012"]


def test_what_goes_wrong_only_in_the_rival_says_so() -> None:
    text = rival("drop dup")
    found = [d for d in findings(text) if d.severity is not Severity.NOTE]
    assert [(d.code, marked(d, text)) for d in found] == [("H048", "token(S1)")]
    label = found[0].labels[-1]
    assert text[label.span.start : label.span.end] == "r"
    assert label.message == "as `r` has it, which refines `h`"


def test_what_a_rival_uses_is_used() -> None:
    spare = GOOD.replace(
        "  group late", "  protocol spare { ablate by nodes with zero }\n  group late"
    )
    assert [d.code for d in findings(spare)] == ["H050"]
    using = rival(
        "expect more under spare { ablate dup require logit_diff <= 1 ci 95 }", good=spare
    )
    assert findings(using) == ()


def test_circles_unknown_parents_and_drops_of_nothing() -> None:
    circle = "circuitspec 1\nhypothesis a refines b {\n}\nhypothesis b refines a {\n}\n"
    assert {d.code for d in findings(circle)} == {"H004"}
    own = "circuitspec 1\nhypothesis a refines a {\n}\n"
    assert [d.code for d in findings(own)] == ["H004"]
    text = rival().replace("refines h", "refines hh")
    assert [(d.code, marked(d, text)) for d in findings(text)] == [("H001", "hh")]
    text = rival("drop dupe")
    found = [d for d in findings(text) if d.severity is Severity.ERROR]
    assert [(d.code, marked(d, text), d.hint) for d in found] == [
        ("H001", "dupe", "did you mean `dup`? there are: dup, inhibit, mover")
    ]
    text = rival("drop dup", "role dup = a0.h4 @ S2 attends S1 carries token(S1)")
    found = [d for d in findings(text) if d.severity is Severity.ERROR]
    assert [(d.code, marked(d, text)) for d in found] == [("H006", "dup")]
    text = GOOD.replace("  keep m0", "  drop dup\n  keep m0")
    assert [(d.code, marked(d, text)) for d in findings(text)] == [("H001", "dup")]
