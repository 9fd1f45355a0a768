"""Causal scrubbing (Chan et al. 2022): the declared graph as a tree, read on drawn prompts.

`story` says which states of which roles read which; `draws` chooses their prompts; `states`
computes them, batched over prompts and draws; `scrub` puts the three together.
"""
