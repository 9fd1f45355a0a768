"""What every keyword and function of the language means, in a sentence: for editors to show."""

from __future__ import annotations

STATEMENTS: dict[str, str] = {
    "circuitspec": "The version of the language that the file is written in.",
    "use": "Words, tasks, protocols and hypotheses of another file of the spec's folder.",
    "hypothesis": "A circuit stated, with claims about it that can fail.",
    "task": "The prompts a hypothesis is tested on, their positions and metrics.",
    "template": "A prompt with gaps; a slot's gap is a position of the same name.",
    "slot": "A gap's words: drawn from a list, equal to another slot's, or computed.",
    "words": "A word list: written out, from a file beside the spec, or a range of integers.",
    "table": "A lookup table, used like a function of one word.",
    "position": "A name for a place in the prompt, which may depend on the prompt.",
    "metric": "What is measured of the logits, at END unless it says `at`.",
    "baseline": "A counterfactual distribution: what ablation values and patches are taken from.",
    "sample": "How many prompts are drawn of each kind, and from which seed.",
    "bos": "Whether the tokenizer's beginning-of-sequence token is prepended. Always stated.",
    "tokens": "The words of the task are token ids: no tokenizer is needed.",
    "answers": "Whether a space stands before an answer (`spaced`) or nothing (`glued`).",
    "prompts": "Prompts from a JSONL or CSV file, with columns for slots and positions.",
    "model": "The model by packaged name, directory or hub name, at a revision.",
    "role": "A named set of heads or MLPs at a position (`@`), where heads attend to others "
    "(`attends`), and what its output carries (`carries`).",
    "open": "Nodes that are known of and not explained: outside the circuit, listed, and swept.",
    "keep": "Nodes that stay in the circuit for good and belong to no knock-out.",
    "edge": "Who is read by whom, at which channels: every sender below every receiver, as far as "
    "layers and positions allow.",
    "group": "A name for several roles together, for claims.",
    "drop": "In a refinement: removes an inherited role and every mention of it.",
    "sweep": "The same hypothesis once for each model, revision, or set of open nodes.",
    "protocol": "What several claims share, stated once.",
    "expect": "A claim: what is done to the model, and what must then hold.",
    "ablate": "Cut nodes or edges: `complement` is everything outside the circuit.",
    "patch": "Outputs from the paired counterfactual: of nodes, or along a path "
    "(`->`) into the channels that read them.",
    "scrub": "Causal scrubbing: every activation resampled from a prompt that agrees in what the "
    "hypothesis says matters there.",
    "given": "A further knock-out under which everything else is measured; after `each`, the sets "
    "K of a minimality claim.",
    "run": "Run from a baseline, clean values put back at some nodes (denoising).",
    "knockouts": "The sets K of a completeness claim: groups, roles, random ones, a greedy search.",
    "each": "One effect for every head, node, role or edge of the circuit (minimality).",
    "accept": "`accept blind`: the author knows that a mean hides what moves both answers alike.",
    "until": "Sample on until the verdict is settled, at most so many prompts.",
    "require": "What must hold, with a confidence level: `ci 95`.",
}
"""Keywords that open a statement."""

CLAUSES: dict[str, str] = {
    "refines": "Everything the other hypothesis states, but for what is stated anew or dropped.",
    "under": "The protocol that fills in what the claim leaves out.",
    "refuted": "The claim is expected to fail: a known negative result.",
    "revision": "A branch, tag or commit of the model's repository.",
    "from": "Where values come from: a list, a slot, a baseline, a file.",
    "attends": "The positions that the role's heads attend to; their keys and values are read "
    "there.",
    "carries": "The feature of the prompt that the role's output carries: scrubbing resamples "
    "within prompts that agree in it.",
    "at": "At some of the receiver's positions only; in a metric, where the logits are read.",
    "within": "Inside a role: every member to every higher one. In `require`: no further off than.",
    "distinct": "The slots of the statement all differ.",
    "one_token": "Only words that are one token, where they stand, under the model's tokenizer.",
    "same_tokens": "Words of as many tokens as each other.",
    "file": "A file beside the spec, one word a line.",
    "integer": "Token ids instead of words.",
    "evaluation": "Prompts that claims are measured on.",
    "reference": "Prompts that means are taken over and resampling draws from.",
    "pool": "Prompts that scrubbing draws from.",
    "seed": "The number that the random draws begin from.",
    "all": "The whole population; in `patch`, all pairs in one run.",
    "yes": "It is.",
    "no": "It is not.",
    "spaced": "An answer follows after a space.",
    "glued": "An answer follows without a space.",
    "by": "By `nodes` (outputs, wherever they are read) or by `edges` (one reading at a time).",
    "nodes": "A cut node's output changes for all that read it.",
    "edges": "Only what reads along a cut edge sees a change.",
    "with": "What a cut output becomes.",
    "zero": "A cut output becomes 0.",
    "mean": "A cut output becomes its mean over the baseline's reference prompts.",
    "over": "What a mean is taken over; what a scrub draws from.",
    "batch": "One mean over all prompts and positions.",
    "resample": "A cut output becomes that of a random prompt of the baseline.",
    "counterfactual": "A cut output becomes that of the prompt's own counterfactual.",
    "noise": "Gaussian noise, in standard deviations of the embeddings.",
    "draws": "How many random draws are averaged for each prompt.",
    "through": "Which nodes between sender and receiver pass the change on.",
    "direct": "Only the residual stream passes the change on.",
    "mlps": "The MLPs: all of them, or (`through mlps`) those between.",
    "ablated": "Knocked out under everything else that the claim does.",
    "restore": "Where clean values are put back.",
    "groups": "Every group as one set K.",
    "roles": "Every role as one set K.",
    "random": "So many random subsets of the circuit.",
    "greedy": "A greedy search for the worst set: runs x steps x candidates a step.",
    "head": "Every head of the circuit.",
    "node": "Every node of the circuit.",
    "before": "`X before it`: the members of X that are listed earlier.",
    "it": "The element that is being tried.",
    "decided": "Until every interval lies on one side of its threshold.",
    "most": "At most so many prompts.",
    "of": "`within 20% of`: of what the share is.",
    "ci": "The confidence level, in percent.",
    "mod": "The remainder.",
}
"""Keywords inside statements that open none themselves."""

FUNCTIONS: dict[str, str] = {
    # measures of a claim
    "ratio": "The metric of the run as a share of the model's.",
    "gap": "How far the metric of the run is from the model's, without sign.",
    "recovered": "Where the run's metric lies between the empty circuit's (0) and the model's (1).",
    "scrub_recovered": "Where the scrubbed metric lies between that of unconditional draws (0) and "
    "the model's (1).",
    "agreement": "The share of prompts on which the run's top token is the model's.",
    "error": "The mean absolute difference from the model's metric, prompt by prompt.",
    "kl": "Divergence of the run's next-token distribution from the model's, in nats.",
    "accuracy": "The share of prompts on which the right answer is the top token.",
    "incompleteness": "The circuit's metric less the model's when both lose the same set K.",
    "effect": "What the metric loses when the element (or the nodes named) is ablated.",
    "attention": "The mean attention of heads from their position to where they attend.",
    "dla": "Direct logit attribution: what nodes add to the metric themselves.",
    "logit_lens": "The metric read off the residual stream after a layer.",
    "copying": "The share of a prompt's names that heads' OV circuits copy into their top 5.",
    "negative_copying": "The same of the OV circuit's negative: what a head suppresses.",
    "previous_token": "A head's mean attention to the token before, on random tokens.",
    "duplicate_token": "A head's mean attention to an earlier copy, on repeated random tokens.",
    "induction": "A head's mean attention to what followed the earlier copy, on repeated tokens.",
    # metrics
    "logit": "The logit of an answer.",
    "prob": "The probability of an answer, or of a set of answers together.",
    "log_prob": "The log-probability of an answer, in nats.",
    "rank": "The rank of an answer among all tokens, from 0.",
    "cross_entropy": "The loss on an answer, in nats.",
    # sets of answers
    "greater": "The words of a list that are larger than the slot's.",
    "greater_equal": "The words of a list that are at least as large as the slot's.",
    "less": "The words of a list that are smaller than the slot's.",
    "less_equal": "The words of a list that are at most as large as the slot's.",
    "others": "The other words of a slot's list.",
    # positions
    "argmax": "The label with the largest value.",
    "argmin": "The label with the smallest value.",
    "find": "The first token that is the given one; `nth`, `after`, `before` say which.",
    "span": "From one position to another, both included.",
    "index": "A token by its number, from 0 or from the end.",
    "choose": "One of two, by a condition.",
    # features and values
    "token": "The token at a label.",
    "position": "Where in the prompt a label stands.",
    "order": "The labels in the order in which they stand.",
    "equal": "Whether values are equal.",
    "count": "How many tokens are such a word, up to a position if `to` says so.",
    "column": "A column of the prompts file.",
    "initial": "A word's first letter.",
    "first": "The first word.",
    "last": "The last word.",
    "capital": "The first letter a capital.",
    "upper": "All letters capitals.",
    "lower": "No letter a capital.",
    "join": "One after the other, without a space.",
    "length": "The number of characters.",
    "max": "The largest number.",
    "min": "The smallest number.",
    "kth": "The k-th smallest number.",
    "abs": "The number without its sign.",
    "sign": "-1, 0 or 1.",
    "member": "Whether a word is in a list.",
    "draw": "So many words drawn from a list.",
    # baselines
    "resample": "The named slots redrawn, all different from before and from each other.",
    "template": "The same slots in another template.",
    "noise": "Gaussian noise on the embeddings at some positions.",
    "swap": "Two slots with their values exchanged.",
    "set": "A slot at a stated value.",
    "shuffle": "Another prompt of the same template and length.",
}
"""Functions of expressions, and the measures of `require`."""

PLACES: dict[str, str] = {
    "END": "The last token of the prompt.",
    "BOS": "The beginning-of-sequence token.",
    "input": "The token and positional embedding.",
    "logits": "The end of the residual stream, where the metrics read it.",
    "heads": "All attention heads of the model.",
    "complement": "Everything outside the circuit.",
    "next": "The token that really comes next.",
    "here": "The position where the role lives.",
    "blind": "What a mean of differences cannot see.",
}
"""Names with a meaning of their own."""


def meaning(word: str) -> str | None:
    """What a word means, whichever table has it; statements before functions of the same name."""
    for table in (STATEMENTS, CLAUSES, FUNCTIONS, PLACES):
        if word in table:
            return table[word]
    return None
