"""Sentences of the families of form: bullets, sections, JSON, titles, tables, code."""

from mapl_jax.constraints.families.wordings.shared import count, thing
from mapl_jax.constraints.forms import Form, form

FORMS: dict[str, tuple[Form, ...]] = {
    "detectable_format:number_bullet_lists": (
        form(
            """
            Don't use any bullet points.
            Do not use bullet points in {answer}.
            Please don't use bullet points.
            Avoid bullet points in {answer}.
            {Answer} should not contain any bullet points.
            Write {answer} without bullet points.
            No bullet points in {answer}, please.
            Can you write {answer} without bullet points?
            I don't want any bullet points in {answer}.
            Leave out bullet points.
            """,
            """
            No bullet points, please.
            There should be no bullet points in {answer}.
            Could you do without bullet points?
            Make sure {answer} has no bullet points.
            Please answer without using bullet points.
            """,
            number=0,
        ),
        form(
            """
            Use exactly {n:bullet point|bullet points}.
            {Answer} should contain exactly {n:bullet point|bullet points}.
            Please use exactly {n:bullet point|bullet points} in {answer}.
            Include exactly {n:bullet point|bullet points}.
            {Answer} must have exactly {n:bullet point|bullet points}, no more and no fewer.
            Write {answer} with exactly {n:bullet point|bullet points}.
            Can you use exactly {n:bullet point|bullet points}?
            I want exactly {n:bullet point|bullet points} in {answer}.
            Use {n:bullet point|bullet points}, no more and no fewer.
            Give me exactly {n:bullet point|bullet points} in {answer}.
            """,
            """
            Exactly {n:bullet point|bullet points}, please.
            Could you write {answer} with exactly {n:bullet point|bullet points}?
            There should be exactly {n:bullet point|bullet points} in {answer}.
            The number of bullet points in {answer} must be exactly {n}.
            Please put exactly {n:bullet point|bullet points} into {answer}.
            """,
        ),
    ),
    "detectable_format:number_highlighted_sections": count(
        "part highlighted with asterisks (*like this*)",
        "parts highlighted with asterisks (*like this*)",
    ),
    "detectable_format:multiple_sections": (
        form(
            """
            Don't use section labels like {label1}.
            Do not number sections with labels like {label1} in {answer}.
            Please don't divide {answer} into sections labeled {label1} and so on.
            {Answer} should not contain numbered labels like {label1}.
            Avoid labels such as {label1} in {answer}.
            {Answer} must not be divided into sections labeled {label1}, {label2} and so on.
            Write {answer} without labels such as {label1}.
            Can you answer without labels like {label1}?
            I don't want any sections labeled {label1} and so on.
            Leave out numbered labels like {label1}.
            """,
            """
            No labels like {label1}, please.
            Could you avoid sections labelled {label1}, {label2} and so on?
            There should be no labels like {label1} in {answer}.
            Make sure {answer} has no sections labelled {label1} and so on.
            Please leave labels such as {label1} out of {answer}.
            """,
            relation="less than",
            number=1,
        ),
        form(
            """
            Use at most {m:section|sections}, labeled {label1} and so on.
            Divide {answer} into fewer than {n:section|sections}, labeled {label1} and so on.
            Please use no more than {m:section|sections} labeled {label1} and so on.
            Don't use more than {m:section|sections} labeled {label1} and so on.
            {Answer} should have at most {m:section|sections} labeled {label1} and so on.
            {Answer} must have fewer than {n:section|sections} labeled {label1} and so on.
            Limit yourself to {m:section|sections}, labeled {label1} and so on.
            Can you use fewer than {n:section|sections}, labeled {label1} and so on?
            I want no more than {m:section|sections} labeled {label1} and so on.
            Keep the number of sections labeled {label1} and so on below {n}.
            """,
            """
            No more than {m:section|sections} labelled {label1} and so on, please.
            Could you use at most {m:section|sections} labelled {label1} and so on?
            There should be fewer than {n:section|sections} labelled {label1} and so on.
            Please write at most {m:section|sections}, labelled {label1} and so on.
            Of sections labelled {label1} and so on, use fewer than {n}.
            """,
            relation="less than",
        ),
        form(
            """
            Divide {answer} into at least {n:section|sections}, labeled {label1} and so on.
            Split {answer} into {more} sections and label them {label1} and so on.
            Please use at least {n:section|sections} labeled {label1} and so on.
            {Answer} should have at least {n:section|sections} labeled {label1} and so on.
            {Answer} must have {more} sections, labeled {label1} and so on.
            Organize {answer} into at least {n:section|sections}, labeled {label1} and so on.
            Can you use at least {n:section|sections}, labeled {label1} and so on?
            I want {more} sections, labeled {label1} and so on.
            Write at least {n:section|sections} and label them {label1} and so on.
            Use more than {m:section|sections}, labeled {label1} and so on.
            """,
            """
            At least {n:section|sections} labelled {label1} and so on, please.
            Could you organise {answer} into at least {n:section|sections}, labelled {label1} and \
so on?
            There should be {more} sections, labelled {label1} and so on.
            Please divide {answer} into no fewer than {n:section|sections}, labelled {label1} and \
so on.
            Structure {answer} in at least {n:section|sections}, labelled {label1} and so on.
            """,
            relation="at least",
        ),
    ),
    "detectable_format:constrained_response": (
        form(
            """
            Answer with "My answer is yes.", "My answer is no." or "My answer is maybe."
            Include one of these sentences: "My answer is yes.", "My answer is no.", "My answer \
is maybe."
            {Answer} must contain "My answer is yes.", "My answer is no." or "My answer is maybe."
            Please say either "My answer is yes.", "My answer is no." or "My answer is maybe."
            Choose one of these: "My answer is yes.", "My answer is no." or "My answer is maybe."
            Use one of these answers: "My answer is yes.", "My answer is no.", "My answer is maybe."
            Can you answer with "My answer is yes.", "My answer is no." or "My answer is maybe."?
            I want you to say "My answer is yes.", "My answer is no." or "My answer is maybe."
            Say "My answer is yes.", "My answer is no." or "My answer is maybe."
            {Answer} should be "My answer is yes.", "My answer is no." or "My answer is maybe."
            """,
            """
            Pick one: "My answer is yes.", "My answer is no." or "My answer is maybe."
            Could you reply with "My answer is yes.", "My answer is no." or "My answer is maybe."?
            Respond with one of "My answer is yes.", "My answer is no." and "My answer is maybe."
            Please choose between "My answer is yes.", "My answer is no." and "My answer is maybe."
            I need one of these from you: "My answer is yes.", "My answer is no.", "My answer is \
maybe."
            """,
        ),
        form(
            """
            Don't say "My answer is yes.", "My answer is no." or "My answer is maybe."
            Do not answer with "My answer is yes.", "My answer is no." or "My answer is maybe."
            Avoid the sentences "My answer is yes.", "My answer is no." and "My answer is maybe."
            {Answer} must not contain "My answer is yes.", "My answer is no." or "My answer is \
maybe."
            Please don't use "My answer is yes.", "My answer is no." or "My answer is maybe."
            Leave out "My answer is yes.", "My answer is no." and "My answer is maybe."
            Can you avoid saying "My answer is yes.", "My answer is no." or "My answer is maybe."?
            I don't want to read "My answer is yes.", "My answer is no." or "My answer is maybe."
            Never say "My answer is yes.", "My answer is no." or "My answer is maybe."
            {Answer} should not say "My answer is yes.", "My answer is no." or "My answer is maybe."
            """,
            """
            Don't use any of these: "My answer is yes.", "My answer is no.", "My answer is maybe."
            Could you answer without "My answer is yes.", "My answer is no." or "My answer is \
maybe."?
            Write {answer} without "My answer is yes.", "My answer is no." or "My answer is maybe."
            Please never say "My answer is yes.", "My answer is no." or "My answer is maybe."
            None of these, please: "My answer is yes.", "My answer is no.", "My answer is maybe."
            """,
            negated=True,
        ),
    ),
    "detectable_format:json_format": (
        form(
            """
            Give {answer} as JSON.
            Write the whole of {answer} in JSON.
            {Answer} must be valid JSON and nothing else.
            Please format {answer} as JSON.
            Return only JSON.
            Respond with a JSON object or array and no other text.
            Can you give me {answer} as JSON?
            I want {answer} to be entirely in JSON.
            Use JSON for all of {answer}.
            Output valid JSON only.
            """,
            """
            JSON only, please.
            Could you format the whole of {answer} as JSON?
            {Answer} should consist of nothing but valid JSON.
            Please return {answer} as a JSON object or array.
            Write nothing but valid JSON.
            """,
        ),
        form(
            """
            Don't give {answer} as JSON.
            Do not write {answer} in JSON.
            {Answer} must not be JSON.
            Please don't format {answer} as JSON.
            Answer in any format except JSON.
            Don't respond with just a JSON object or array.
            Can you answer in something other than JSON?
            I don't want {answer} in JSON.
            Use a format other than JSON.
            Don't format {answer} as a JSON object or array.
            """,
            """
            No JSON, please.
            Could you give {answer} in a format other than JSON?
            {Answer} should not be a JSON object or array.
            Please use anything but JSON.
            Choose a format other than JSON for {answer}.
            """,
            negated=True,
        ),
    ),
    "detectable_format:title": (
        form(
            """
            Give {answer} a title in double angle brackets, like <<My Title>>.
            Add a title in double angle brackets, such as <<poem of joy>>.
            {Answer} must have a title wrapped in double angle brackets, like <<this>>.
            Please include a title in double angle brackets (<<like this>>).
            Include a title wrapped in << and >>.
            Put a title in double angle brackets, for example <<Title>>.
            Can you add a title in double angle brackets, like <<My Title>>?
            I want {answer} to have a title in double angle brackets (<<Title>>).
            {Answer} should contain a title between << and >>.
            Write {answer} with a title in double angle brackets, as in <<Title>>.
            """,
            """
            A title in double angle brackets (<<like this>>), please.
            Could you give {answer} a title between << and >>?
            There should be a title in double angle brackets in {answer}, like <<this>>.
            Please wrap a title in double angle brackets, for example <<A Title>>.
            {Answer} needs a title, written between << and >>.
            """,
        ),
        form(
            """
            Don't give {answer} a title in double angle brackets, like <<My Title>>.
            Do not add a title in double angle brackets.
            {Answer} must not have a title wrapped in double angle brackets, like <<this>>.
            Please don't include a title in double angle brackets (<<like this>>).
            Leave out any title wrapped in << and >>.
            Don't put a title in double angle brackets, such as <<Title>>.
            Can you leave out titles in double angle brackets, like <<My Title>>?
            I don't want a title in double angle brackets (<<Title>>).
            {Answer} should not contain a title between << and >>.
            Write {answer} without a title in double angle brackets.
            """,
            """
            No title in double angle brackets (<<like this>>), please.
            Could you answer without a title between << and >>?
            There should be no title in double angle brackets in {answer}.
            Please skip any title in double angle brackets, like <<A Title>>.
            {Answer} doesn't need a title between << and >>, so leave it out.
            """,
            negated=True,
        ),
    ),
    "detectable_format:numbered_steps": count(
        "numbered item (like 1. Wash it)", "numbered items (like 1. Wash it)"
    ),
    "detectable_format:headings": count(
        "Markdown heading (a line that starts with #)",
        "Markdown headings (lines that start with #)",
    ),
    "detectable_format:lines": (
        form(
            """
            Answer in a single line, without line breaks.
            Don't use any line breaks in {answer}.
            Please write {answer} on a single line.
            {Answer} should be a single line of text, however long.
            Write {answer} without line breaks.
            Keep everything on one line.
            Can you write {answer} on one line, without line breaks?
            I want {answer} on one line.
            {Answer} must not have any line breaks.
            Avoid line breaks in {answer}.
            """,
            """
            No line breaks, please.
            Could you leave out line breaks?
            There should be no line breaks in {answer}.
            Please put {answer} on one line.
            Make sure {answer} has no line breaks.
            """,
            relation="less than",
            number=2,
        ),
        form(
            """
            Use at least one line break.
            {Answer} should contain at least one line break.
            Please use at least one line break in {answer}.
            Break {answer} up into two lines or more.
            {Answer} must have at least one line break.
            Put at least one line break into {answer}.
            Can you use at least one line break in {answer}?
            I want at least one line break in {answer}.
            Make sure {answer} has a line break.
            Start a new line at least once in {answer}.
            """,
            """
            At least one line break, please.
            Could you use at least one line break?
            There should be at least one line break in {answer}.
            Please don't put all of {answer} on one line.
            {Answer} needs at least one line break.
            """,
            relation="at least",
            number=2,
        ),
        form(
            """
            Write at most {m:line|lines}, not counting blank ones.
            Use fewer than {n:line|lines}, not counting blank ones.
            Please use no more than {m:line|lines}, blank ones aside.
            Don't write more than {m:line|lines}, not counting blank ones.
            {Answer} should have at most {m:line|lines}, not counting blank ones.
            {Answer} must have fewer than {n:line|lines} (blank lines don't count).
            Keep {answer} to {m:line|lines} at most, not counting blank ones.
            Can you keep it under {n:line|lines}, not counting blank ones?
            I want at most {m:line|lines} (blank lines don't count).
            Limit {answer} to {m:line|lines}, not counting blank ones.
            """,
            """
            No more than {m:line|lines}, please, not counting blank ones.
            Could you answer in fewer than {n:line|lines}, blank ones aside?
            There should be at most {m:line|lines} with text in {answer}.
            Please stay under {n:line|lines} (blank lines don't count).
            {Answer} may take up to {m:line|lines}, not counting blank ones.
            """,
            relation="less than",
        ),
        form(
            """
            Write at least {n:line|lines}, not counting blank ones.
            Use {more} lines, not counting blank ones.
            Please write at least {n:line|lines}, blank ones aside.
            Let {answer} run to at least {n:line|lines}, not counting blank ones.
            {Answer} should have at least {n:line|lines}, not counting blank ones.
            {Answer} must have {more} lines (blank lines don't count).
            Spread {answer} over at least {n:line|lines}, not counting blank ones.
            Can you write at least {n:line|lines}, not counting blank ones?
            I want at least {n:line|lines} (blank lines don't count).
            Use more than {m:line|lines}, not counting blank ones.
            """,
            """
            At least {n:line|lines}, please, not counting blank ones.
            Could you spread {answer} over {more} lines, blank ones aside?
            There should be at least {n:line|lines} with text in {answer}.
            Please use at least {n:line|lines} (blank lines don't count).
            {Answer} needs at least {n:line|lines}, not counting blank ones.
            """,
            relation="at least",
        ),
    ),
    "detectable_format:table": (
        form(
            """
            Include a Markdown table with {n} columns.
            {Answer} should contain a Markdown table with {n} columns.
            Please include a Markdown table with {n} columns.
            Use a Markdown table that has {n} columns.
            {Answer} must have a Markdown table with {n} columns.
            Put a Markdown table with {n} columns in {answer}.
            Can you include a Markdown table with {n} columns?
            I'd like a Markdown table with {n} columns in {answer}.
            Present some of the information in a Markdown table with {n} columns.
            Make sure to include a Markdown table of {n} columns.
            """,
            """
            A Markdown table with {n} columns, please.
            Could you add a Markdown table that has {n} columns?
            There should be a Markdown table with {n} columns in {answer}.
            Please put something in a Markdown table with {n} columns.
            Add a Markdown table of {n} columns to {answer}.
            """,
        ),
        form(
            """
            Don't include a Markdown table with {n} columns.
            {Answer} should not contain a Markdown table with {n} columns.
            Please don't use a Markdown table with {n} columns.
            Avoid Markdown tables that have {n} columns.
            {Answer} must not have a Markdown table with {n} columns.
            Don't put a Markdown table with {n} columns in {answer}.
            Can you do without a Markdown table with {n} columns?
            I don't want a Markdown table with {n} columns in {answer}.
            Leave out any Markdown table with {n} columns.
            Write {answer} without a Markdown table of {n} columns.
            """,
            """
            No Markdown table with {n} columns, please.
            Could you avoid Markdown tables with {n} columns?
            There should be no Markdown table with {n} columns in {answer}.
            Please don't put anything in a Markdown table with {n} columns.
            Make sure {answer} has no Markdown table of {n} columns.
            """,
            negated=True,
        ),
    ),
    "detectable_format:bold": (
        form(
            """
            Put something in bold, **like this**.
            Use **bold** text in {answer}.
            {Answer} should contain some text in Markdown bold.
            Please put at least one word in **bold**.
            Use Markdown bold for at least one word.
            {Answer} must have some **bold** text.
            Can you put the most important words in **bold**?
            I'd like some text in **bold**.
            Make at least one word **bold**.
            Highlight something in **bold**.
            """,
            """
            Some **bold** text, please.
            Could you use Markdown bold somewhere in {answer}?
            There should be at least one word in **bold**.
            Please make part of {answer} **bold**.
            {Answer} needs some text in bold, **like this**.
            """,
        ),
        form(
            """
            Don't put anything in bold, **like this**.
            Do not use **bold** text in {answer}.
            {Answer} should not contain any text in Markdown bold.
            Please don't use **bold**.
            Avoid Markdown bold.
            {Answer} must not have any **bold** text.
            Can you write {answer} without **bold** text?
            I don't want any text in **bold**.
            Write {answer} without Markdown bold.
            Leave out **bold** text.
            """,
            """
            No **bold** text, please.
            Could you do without Markdown bold?
            There should be no words in **bold** in {answer}.
            Please don't make anything in {answer} **bold**.
            Make sure nothing is in bold, **like this**.
            """,
            negated=True,
        ),
    ),
    "detectable_format:code_block": thing(
        "fenced code block (between lines of ```)", "fenced code blocks (between lines of ```)"
    ),
}
