"""The proving ground: hypotheses whose truth is known, to try the verifier on. Not shipped."""
