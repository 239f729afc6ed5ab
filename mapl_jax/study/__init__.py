"""Many runs from one corpus, to see what each part of the method does.

arms      what is compared: which comparisons, of which data, with which loss
corpora   one synthesis for all arms, and what they are tested on
measures  what is read off a trained model
tables    means over seeds with intervals, as text, as a page and as a drawing

May import: all.
"""
