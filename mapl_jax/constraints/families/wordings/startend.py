"""Sentences of the families of beginnings and ends."""

from mapl_jax.constraints.forms import Form, form

FORMS: dict[str, tuple[Form, ...]] = {
    "startend:end_checker": (
        form(
            """
            End {answer} with {phrase}.
            Finish with exactly these words: {phrase}.
            {Answer} should end with {phrase}.
            Please end {answer} with the exact words {phrase}.
            {Answer} must end with the exact phrase {phrase}.
            Close {answer} with {phrase} and write nothing after it.
            Can you finish {answer} with {phrase}?
            I want {answer} to end with {phrase}.
            The last words of {answer} should be {phrase}.
            Let {answer} end with {phrase}.
            """,
            """
            Conclude {answer} with these words: {phrase}.
            Could you end with the exact phrase {phrase}?
            The very last words of {answer} must be {phrase}.
            Please finish by saying {phrase}, with nothing after it.
            Wrap up {answer} with the exact words {phrase}.
            """,
        ),
    ),
    "startend:quotation": (
        form(
            """
            Wrap {answer} in double quotation marks.
            Put the whole of {answer} in double quotation marks.
            Please put double quotation marks around {answer}.
            {Answer} should be wrapped in double quotation marks.
            {Answer} must start and end with a double quotation mark.
            Enclose everything you write in double quotation marks.
            Can you put {answer} in double quotation marks?
            I want the whole of {answer} in double quotation marks.
            Start and end {answer} with a double quotation mark.
            Surround {answer} with double quotes.
            """,
            """
            Double quotation marks around {answer}, please.
            Could you wrap the whole of {answer} in double quotes?
            The first and the last character of {answer} should be a double quotation mark.
            Please enclose {answer} in double quotes.
            Put {answer} between double quotation marks.
            """,
        ),
        form(
            """
            Don't wrap {answer} in double quotation marks.
            Do not put the whole of {answer} in double quotation marks.
            Please don't put double quotation marks around {answer}.
            {Answer} should not be wrapped in double quotation marks.
            {Answer} must not both start and end with a double quotation mark.
            Don't enclose everything you write in double quotation marks.
            Can you leave out the double quotation marks around {answer}?
            I don't want the whole of {answer} in double quotation marks.
            Write {answer} without double quotation marks around it.
            Don't surround {answer} with double quotes.
            """,
            """
            No double quotation marks around {answer}, please.
            Could you answer without putting it all in double quotes?
            There should be no double quotation marks around {answer}.
            Please don't enclose {answer} in double quotes.
            Leave off the double quotation marks around {answer}.
            """,
            negated=True,
        ),
    ),
    "startend:first_word": (
        form(
            """
            Start {answer} with the word {plain}.
            Begin with the word {plain}.
            The first word of {answer} should be {word}.
            Please start with the word {plain}.
            {Answer} must begin with the word {plain}.
            {Answer} should start with {word}.
            Open {answer} with the word {plain}.
            Can you start {answer} with the word {plain}?
            I want {answer} to begin with the word {plain}.
            Make {word} the first word of {answer}.
            """,
            """
            Use {word} as the very first word of {answer}.
            Could you begin {answer} with {word}?
            The word {plain} should come first in {answer}.
            Please open {answer} with {word}.
            The first word you write must be {word}.
            """,
        ),
        form(
            """
            Don't start {answer} with the word {plain}.
            Do not begin with the word {plain}.
            The first word of {answer} should not be {word}.
            Please don't start with the word {plain}.
            {Answer} must not begin with the word {plain}.
            {Answer} should not start with {word}.
            Never start {answer} with the word {plain}.
            Can you avoid starting with the word {plain}?
            I don't want {answer} to begin with the word {plain}.
            Avoid {word} as the first word of {answer}.
            """,
            """
            Never use {word} as the first word.
            Could you avoid beginning {answer} with {word}?
            The word {plain} should not come first in {answer}.
            Please don't open {answer} with {word}.
            The first word you write must not be {word}.
            """,
            negated=True,
        ),
    ),
    "startend:opener": tuple(
        each.replaced(OPENERS='"Sure", "Well", "Oh", "Okay" or "Great"')
        for each in (
            form(
                """
                Start {answer} with OPENERS.
                Begin with OPENERS.
                {Answer} should start with OPENERS.
                Please open {answer} with OPENERS.
                {Answer} must begin with OPENERS.
                Start off with OPENERS.
                Open with OPENERS.
                Can you start {answer} with OPENERS?
                I want {answer} to open with OPENERS.
                Make {answer} start with OPENERS.
                """,
                """
                Could you begin {answer} with OPENERS?
                Please start off with OPENERS.
                The first word should be OPENERS.
                Begin {answer} with OPENERS.
                I'd like you to start with OPENERS.
                """,
            ),
            form(
                """
                Don't start {answer} with OPENERS.
                Get straight to the point: don't open with OPENERS.
                {Answer} should not start with OPENERS.
                Please don't open {answer} with OPENERS.
                {Answer} must not begin with OPENERS.
                Please don't start with OPENERS.
                Don't begin with OPENERS.
                Can you answer without opening with OPENERS?
                I don't want {answer} to open with OPENERS.
                Avoid starting with OPENERS.
                """,
                """
                Could you answer without starting with OPENERS?
                Please begin with something other than OPENERS.
                Go straight to the answer; don't open with OPENERS.
                The first word should not be OPENERS.
                I'd rather you didn't begin with OPENERS.
                """,
                negated=True,
            ),
        )
    ),
    "startend:last_word": (
        form(
            """
            End {answer} with the word {plain}.
            Finish with the word {plain}.
            The last word of {answer} should be {word}.
            Please end with the word {plain}.
            {Answer} must end with the word {plain}.
            Finish {answer} on the word {plain}.
            Close {answer} with the word {plain}.
            Can you end {answer} with the word {plain}?
            I want {answer} to end with the word {plain}.
            Make {word} the last word of {answer}.
            """,
            """
            Use {word} as the very last word of {answer}.
            Could you finish {answer} with the word {plain}?
            The word {plain} should come last in {answer}.
            Please close {answer} with the word {plain}.
            The last word you write must be {word}.
            """,
        ),
        form(
            """
            Don't end {answer} with the word {plain}.
            Do not finish with the word {plain}.
            The last word of {answer} should not be {word}.
            Please don't end with the word {plain}.
            {Answer} must not end with the word {plain}.
            Don't finish {answer} on the word {plain}.
            End {answer} with any word except {word}.
            Can you end {answer} with a word other than {word}?
            I don't want {answer} to end with the word {plain}.
            Avoid {word} as the last word of {answer}.
            """,
            """
            Use any last word except {word}.
            Could you finish {answer} with a word other than {word}?
            The word {plain} should not come last in {answer}.
            Please don't close {answer} with the word {plain}.
            The last word you write must not be {word}.
            """,
            negated=True,
        ),
    ),
    "startend:sentence_opening": (
        form(
            """
            Start at least one sentence with the word {plain}.
            Begin at least one sentence with the word {plain}.
            At least one sentence should start with the word {plain}.
            Please start at least one sentence with {word}.
            Include a sentence that starts with the word {plain}.
            {Answer} must have at least one sentence that begins with {word}.
            Use the word {plain} at the beginning of at least one sentence.
            Can you start at least one sentence with {word}?
            I want at least one sentence to begin with the word {plain}.
            {Answer} should include a sentence starting with the word {plain}.
            """,
            """
            At least one sentence has to open with the word {plain}.
            Could you begin a sentence with the word {plain} somewhere?
            Make {word} the first word of at least one sentence.
            Please include at least one sentence starting with {word}.
            There should be a sentence in {answer} that starts with {word}.
            """,
        ),
        form(
            """
            Don't start any sentence with the word {plain}.
            Do not begin any sentence with the word {plain}.
            No sentence should start with the word {plain}.
            Please don't start any sentence with {word}.
            Avoid sentences that start with the word {plain}.
            No sentence in {answer} should begin with {word}.
            Don't use the word {plain} at the beginning of a sentence.
            Can you answer without starting any sentence with {word}?
            I don't want any sentence to begin with the word {plain}.
            Don't let any sentence start with the word {plain}.
            """,
            """
            No sentence may open with the word {plain}.
            Could you answer without beginning any sentence with the word {plain}?
            Don't make {word} the first word of any sentence.
            Please make sure no sentence starts with {word}.
            There should be no sentence in {answer} that starts with {word}.
            """,
            negated=True,
        ),
    ),
    "startend:full_stop_end": (
        form(
            """
            End {answer} with a period.
            Finish with a period.
            {Answer} should end with a period.
            Please end {answer} with a period.
            {Answer} must end with a full stop.
            Make sure the last sentence ends with a period.
            Can you end {answer} with a period?
            I want {answer} to end with a full stop.
            Close {answer} with a full stop.
            Put a period at the very end of {answer}.
            """,
            """
            A full stop at the end, please.
            Could you finish {answer} with a full stop?
            The last punctuation mark of {answer} should be a period.
            Please make sure {answer} ends in a full stop.
            The final sentence of {answer} has to end with a period.
            """,
        ),
        form(
            """
            Don't end {answer} with a period.
            Do not finish with a period.
            {Answer} should not end with a period.
            Please don't end {answer} with a period.
            {Answer} must not end with a full stop.
            Make sure the last sentence doesn't end with a period.
            Can you end {answer} without a period?
            I don't want {answer} to end with a full stop.
            End {answer} without a full stop.
            Don't put a period at the very end of {answer}.
            """,
            """
            No full stop at the end, please.
            Could you finish {answer} without a full stop?
            The last punctuation mark of {answer} should not be a period.
            Please make sure {answer} doesn't end in a full stop.
            The final sentence of {answer} must not end with a period.
            """,
            negated=True,
        ),
    ),
    "startend:question_end": (
        form(
            """
            End {answer} with a question.
            Finish with a question.
            {Answer} should end with a question.
            Please end {answer} with a question.
            {Answer} must end with a question mark.
            Make the last sentence of {answer} a question.
            Can you end {answer} with a question?
            I want {answer} to end with a question.
            Close {answer} by asking a question.
            The last sentence of {answer} should be a question.
            """,
            """
            A question at the end, please.
            Could you finish {answer} by asking me something?
            The final sentence of {answer} has to be a question.
            Please close {answer} with a question.
            Ask a question at the very end of {answer}.
            """,
        ),
        form(
            """
            Don't end {answer} with a question.
            Do not finish with a question.
            {Answer} should not end with a question.
            Please don't end {answer} with a question.
            {Answer} must not end with a question mark.
            Don't make the last sentence of {answer} a question.
            Can you answer without ending on a question?
            I don't want {answer} to end with a question.
            Don't close {answer} by asking a question.
            The last sentence of {answer} should not be a question.
            """,
            """
            No question at the end, please.
            Could you finish {answer} without asking me something?
            The final sentence of {answer} must not be a question.
            Please don't close {answer} with a question.
            Don't ask a question at the very end of {answer}.
            """,
            negated=True,
        ),
    ),
}
