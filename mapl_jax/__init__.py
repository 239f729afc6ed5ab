"""Multi-level aware preference learning (MAPL) in JAX.

Data flows one way: pairs -> samples -> tries -> rows -> rewards -> loss.

Axis letters, used in einsum strings and in the array annotations of public functions:

    R  rows of a batch             S  tokens of a row
    L  leaves of a row             C  comparisons of a row       T  terms of a comparison (4)
    P  scored tokens of a row, those whose log-probabilities count
    D  model width                 F  width of the feed-forward layer
    N  attention heads             K  key/value heads            H  width of one head
    V  vocabulary

Words with one meaning throughout:

    pair        an ordinary preference (prompt, chosen, rejected), perhaps with a margin
    sample      prompts x_0, x_1, ... and responses y_0 = chosen, y_1 = rejected with comparisons
    leaf        one (prompt, response) whose reward is used
    comparison  a signed sum of leaf rewards that should be positive; its sum is the margin
    level       base, intra or inter: which things a comparison sets side by side
    trie        the leaves of one sample as a prefix tree of tokens, depth first
    row         tries side by side, S tokens long
    reach       per token: index just past the last token that may attend to it
"""

__version__ = "0.1.0"
