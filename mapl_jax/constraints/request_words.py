"""The English words by which requests are read (`requests`)."""

import re

from mapl_jax.constraints.text.words import AnyCase


def any_of(text: str) -> AnyCase:
    """A pattern of words; line breaks and indents of the text are left out of it."""
    return AnyCase(rf"\b(?:{''.join(map(str.strip, text.splitlines()))})\b")


# What an answer of many parts is asked for with, and one that needs some room.
LISTED = any_of(
    r"""recipes?|stor(?:y|ies)|essays?|poems?|lyrics|lists?|steps?|instructions|itinerary|plans?
    |speech|letter|script|guide|tutorial|menu|schedule|timeline|directions|summar(?:y|ize)|how to
    |how (?:do|can|could|would|should) (?:i|you|we|one) (?:make|cook|bake|build|fix|install|set up
    |prepare|grow|clean|get|start)"""
)
BROAD = any_of(
    r"""explain|describe|tips|ideas|advice|suggest\w*|recommend\w*|examples|more about
    |tell me about|difference|compare|ways|teach me|reasons|benefits|what are (?:some|the best)"""
)
NUMBERS = any_of(
    r"""how (?:many|much|long|old|far|tall|big|large|high|deep|often|fast|heavy|hot|cold|soon|late
    |early|frequently)|when|what (?:year|time|date|day|age|temperature|size|percentage)|recipes?
    |ingredients|calculate|costs?|prices?|percent|temperature|population|statistics|weigh
    |phone number"""
)
YES_OR_NO = re.compile(
    r"(?:(?:and|but|so|ok|okay|well|oh|wow|hmm|also|then|wait|really)\W+)*"
    + any_of(
        r"""is|are|was|were|am|do|does|did|has|have|had|will|would|should|isn't|aren't|wasn't|don't
        |doesn't|didn't|haven't|can (?:i|it|he|she|they|we|that|this|the|my|a|one|people)
        |could (?:i|it|he|she|they|we|that|this|the|my)"""
    ).pattern
    + r"(?! you (?:have|know|think|recommend|suggest|got)\b)",
    re.I,
)
FACT = any_of(
    r"""who|whose|when|where|which|what(?:'s|\u2019s| is| was| were| year| time| day| color| kind
    | type| does| did)|how (?:many|much|long|old|far|tall|big|large|high|often)"""
)
REQUEST = any_of(
    r"""please|i(?:'d| would) like (?:you|to (?:know|learn|hear|see|ask|get|find)|an?|some|more|the)
    |i (?:want|need|wanna)|i(?:'m| am) (?:looking|trying|wondering
    |curious|interested)|help me|let me know|wondering|any (?:ideas|tips|other|suggestions|advice)
    |can you|could you|would you|do you|tell|give|show|explain|write
    |list|describe|suggest|recommend|name|teach|find|compare|create|make me|give me|go ahead|is it
    |is there|are there"""
)
# A question without its mark.
ASKING = AnyCase(
    r"(?:^|[.!,;:\n]|\b(?:and|but|so|ok|okay|well|also|then|alright))\s*"
    r"\b(?:what|how|why|who|where|when|which)\b",
)
# What is asked for even along with thanks.
ORDER = AnyCase(
    r"\b(?:please|(?:can|could|would) you|(?:tell|give|show|teach|help|find|write) (?:me|us)"
    r"|(?<!if )i need|i want|i'd like)\b"
    r"|(?:^|[.!,;:\n]|\b(?:and|but|so|ok|okay|well|now|then))\s*"
    r"(?:tell|give|explain|write|list|describe|suggest|recommend|teach|show|find)\b",
)
CLOSING = any_of(
    r"""(?:i )?did(?:n't| not) know|i (?:understand|know) (?:what|now)|thank(?:s| you)?|thx|ty
    |(?:good)?bye|good ?night|see you|talk to you|makes sense|i see
    |got it|appreciate (?:it|that|this|the|your)|will do|i agree|good (?:idea|to know|advice
    |point)|great idea|that(?:'s| is) (?:all|great|good|awesome|cool|interesting|helpful|fine
    |true|perfect|what)|(?:sounds|looks|seems) (?:good|great|like|perfect|delicious|fun|nice
    |wonderful)|i(?:['\u2019]ll| will| may| might| guess i)|i(?:['\u2019]d| would) have to
    |can't wait|very true|i found"""
)
# What is answered by examples.
SEVERAL = any_of(
    r"""kinds?|types?|sorts?|any|some|other|others|else|gifts?|activities|things|which|good|best|what
    (?:can|should|would|could|do)"""
)
FRAME = re.compile(
    any_of(
        r"""(?:(?:can|could|would|will|do) you (?:please )?)?
    (?:tell|explain|give|help|show|teach)(?: to)? me
    |(?:can|could|would|will|do) you (?:please |just |also )?(?:know|tell|explain|give|describe|list
    |name|show|teach|help|find|suggest|recommend|write|make|say|provide|share|have any|think of)
    |let me know|i(?:'m| am) (?:wondering|curious)|i(?:'d| would) like to know|i know
    |i (?:want|need) to know|(?:to|for|with) (?:me|us)"""
    ).pattern,
    re.I,
)
# What nobody makes merry about.
SERIOUS = any_of(
    r"""suicid\w*|die[ds]?|dying|dead|death|deaths|funeral|grie\w+|cancer|tumou?rs?|abus\w+
    |depress\w+|kill\w*|murder\w*|rape\w*|war|genocide|holocaust|victims?|attack\w*|stroke|overdose
    |addict\w*|divorc\w*|cheat\w*|miscarriage|disease|diabetes|anxiety|panic|shooting
    |terroris\w+|slave\w*
    |crash\w*|emergenc\w+|911|lost (?:my|his|her|their|an?)|comfort (?:a|my|him|her|them)|scared
    |passed away|illness|harm\w*|racis\w+|violence|violent|crimes?"""
)
# One who says so needs help, and gives no rules.
DISTRESS = any_of(
    r"""suicid\w*|kill (?:myself|himself|herself)|(?<!without )hurt(?:ing)? myself|self.harm
    |want to die|hallucinat\w*|hear(?:ing)? voices|voices (?:that|who|in my)
    |i(?:['\u2019]m| am| feel|['\u2019]ve been| have been)(?: so| very| really| feeling)?
    (?:depressed|hopeless|worthless|desperate|scared|suicidal|abused|raped|grieving|overdos\w+)
    |panic attacks?|overdosed?|chest pains?|miscarriage|hit(?:s|ting)? me|abus(?:es|ed|ing) me
    |my \w+ (?:died|passed away|is dying|has cancer|was killed|was murdered)"""
)
# The words of the user about the length of what is to be written, or of a text to work on.
SIZED = any_of(
    r"""paragraphs?|sentences?|in (?:a few|one|two|three|\d+) words|edit|rewrite|rephrase|proofread
    |punctuat\w+|(?:correct|fix) (?:the|this|my|these)|replace|reword|reformat
    |shorten\w*|concise|shorter|longer|summari[sz]e|summary|translate|brief(?:ly)?"""
)
HOW_TO = any_of(r"how (?:do|can|could|should|would|to)|why")
# What takes more than a few words to say.
ROOMY = any_of(
    r"""how (?:do|does|can|could|should|would|did|to)|why|what (?:are|can|could|should|would)
    |what happens|i'd like to|i want to"""
)
OPINION = any_of(
    r"""you|your|should|best|better|good|worth|favorite|opinion|think|recommend\w*|suggest\w*|advice
    |tips|ideas|like|fun|nice"""
)
CREATIVE = "stor(?:y|ies)|poems?|letter|speech|essay|lyrics|rap|songs? about|jokes?|eulogy|toast"
ADVICE = (
    r"should|better|worth|recommend\w*|suggest\w*|advice|tips|ideas?|opinion|think|favorite|best"
)
OF_ONE = "(?:should|can|could|do|would|must|may|will|am|if) (?:i|we)|i|i'm|i've|i'd|my|our|me"
# What one answers as oneself, and what is answered to a "you", once what is said for the sake of
# asking is left out.
TO_THE_ANSWERER = any_of(rf"you|your|yours|{ADVICE}|{CREATIVE}|favou?rites?|rather")
TO_THE_ASKER = any_of(rf"{OF_ONE}|you|your|tips|advice|how to|should|suggest\w*|recommend\w*")
