"""What checks read off a response: words, sentences, capitals, language.

May import: nothing.
"""
