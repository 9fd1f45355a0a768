"""What is being explained: finding a model, loading it through TransformerLens, its raw weights.

`shapes` and `tokenizer` need neither torch nor weights and serve the light commands; `load`,
`extract` and `weights` need both.
"""
