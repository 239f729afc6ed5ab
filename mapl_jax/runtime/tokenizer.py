"""What a tokenizer is: that of `transformers`, whose import takes a second and can wait."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer
else:
    Tokenizer = object
