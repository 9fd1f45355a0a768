"""The proving ground: the verifier on hypotheses whose truth is known."""
