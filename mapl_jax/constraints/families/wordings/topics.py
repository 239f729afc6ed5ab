"""Sentences of the families of things to mention or to leave out."""

from collections.abc import Mapping

from mapl_jax.constraints.forms import Form, form

FORMS: Mapping[str, tuple[Form, ...]] = {
    "keywords:mention": (
        form(
            """
            Mention {all}.
            Mention {all} in {answer}.
            Please mention {all}.
            {Answer} should mention {all}.
            {Answer} must mention {all}.
            Make sure to mention {all}.
            Can you mention {all} in {answer}?
            I'd like {answer} to mention {all}.
            Mention {all} somewhere in {answer}.
            Be sure to mention {all}.
            """,
            """
            Don't forget to mention {all}.
            Could you mention {all} somewhere in {answer}?
            Please make sure that {answer} mentions {all}.
            I want {answer} to mention {all}.
            Somewhere in {answer}, mention {all}.
            """,
        ),
        form(
            """
            Mention {all} but not {unwanted}.
            Mention {all}, but don't mention {unwanted}.
            Please mention {all} but not {unwanted}.
            {Answer} should mention {all} but not {unwanted}.
            {Answer} must mention {all} and must not mention {unwanted}.
            Make sure to mention {all}, but leave out {unwanted}.
            Can you mention {all} without mentioning {unwanted}?
            I'd like {answer} to mention {all} but not {unwanted}.
            Mention {all} in {answer} and leave out {unwanted}.
            Leave out {unwanted}, but do mention {all}.
            """,
            """
            Don't mention {unwanted}, mention {all} instead.
            Could you mention {all} but leave {unwanted} out of it?
            Please make sure that {answer} mentions {all} but not {unwanted}.
            I want {answer} to mention {all}, not {unwanted}.
            Keep {unwanted} out of {answer}, but mention {all}.
            """,
            negated=True,
        ),
    ),
    "keywords:both": (
        form(
            """
            Mention both {all}.
            Mention both {all} in {answer}.
            Please mention both {all}.
            {Answer} should mention both {all}.
            {Answer} must mention both {all}.
            Make sure to mention both {all}.
            Can you mention both {all} in {answer}?
            I'd like {answer} to mention both {all}.
            Mention both {all} somewhere in {answer}.
            Be sure to mention both {all}.
            """,
            """
            Don't forget to mention both {all}.
            Could you mention both {all} somewhere in {answer}?
            Please make sure that {answer} mentions both {all}.
            I want {answer} to mention both {all}.
            Somewhere in {answer}, mention both {all}.
            """,
        ),
        form(
            """
            Mention {all}, but not {unwanted}.
            Mention {all}, but don't mention {unwanted}.
            Please mention {all}, but not {unwanted}.
            {Answer} should mention {all}, but not {unwanted}.
            {Answer} must mention {all} and must not mention {unwanted}.
            Make sure to mention {all}, but leave out {unwanted}.
            Can you mention {all} without mentioning {unwanted}?
            I'd like {answer} to mention {all}, but not {unwanted}.
            Mention {all} in {answer}, and leave out {unwanted}.
            Leave out {unwanted}, but do mention {all}.
            """,
            """
            Don't mention {unwanted}, mention {all} instead.
            Could you mention {all} but leave {unwanted} out of it?
            Please make sure that {answer} mentions {all}, but not {unwanted}.
            I want {answer} to mention {all}, not {unwanted}.
            Keep {unwanted} out of {answer}, but mention {all}.
            """,
            negated=True,
        ),
    ),
    "keywords:either": (
        form(
            """
            Mention {any}.
            Mention {any} in {answer}.
            Please mention {any}, or both.
            {Answer} should mention {any}.
            {Answer} must mention {any}.
            Make sure to mention {any}.
            Can you mention {any} in {answer}?
            I'd like {answer} to mention {any}.
            Mention {any}, or both, in {answer}.
            Mention {any} at least once.
            """,
            """
            Don't forget to mention {any}.
            Could you mention {any} somewhere in {answer}?
            Please make sure that {answer} mentions {any}.
            I want {answer} to mention {any}.
            Somewhere in {answer}, mention {any}.
            """,
        ),
        form(
            """
            Mention {all}, but neither {neither}.
            Mention {all}, but don't mention {unwanted}.
            Please mention {all}, but neither {neither}.
            {Answer} should mention {all}, but neither {neither}.
            {Answer} must mention {all} and must not mention {unwanted}.
            Make sure to mention {all}, but leave out both {leave_out}.
            Can you mention {all} without mentioning {unwanted}?
            I'd like {answer} to mention {all}, but neither {neither}.
            Mention {all} in {answer} and leave out both {leave_out}.
            Leave out both {leave_out}, but do mention {all}.
            """,
            """
            Mention neither {neither}, but do mention {all}.
            Could you mention {all} but leave out both {leave_out}?
            Please make sure that {answer} mentions {all}, but neither {neither}.
            I want {answer} to mention {all}, but not {unwanted}.
            Keep both {leave_out} out of {answer}, but mention {all}.
            """,
            negated=True,
        ),
    ),
}
