"""What annotators read first, and quick reasons, where a study brings none of its own: by what they do."""

from __future__ import annotations

FAIRLY = """- Judge what is written, not what could have been meant.
- Longer is not better. Take the place of the person who asked."""
GUIDELINES = {
    "comparison": f"""Read the request and both responses in full. Then say which response is better, and how much.

{FAIRLY}
- If you cannot tell which is better, say so: *equally good*, *both bad* and *cannot judge* are answers too.
""",
    "ranking": f"""Read the request and all responses in full. Then put the responses in order, the best first.

{FAIRLY}
- Responses that are equally good may share a place. If you cannot tell at all, say that you *cannot judge*.
""",
    "rating": f"""Read the request and the response in full. Then rate the response on each criterion.

{FAIRLY}
- What the levels mean stands below each criterion. If you cannot tell, say that you *cannot judge*.
""",
    "chat": f"""You talk with a model. Each of your messages gets two replies: read both, and say which one is better.
The conversation goes on from it.

{FAIRLY}
- If you cannot tell which is better, say so: *equally good* and *both bad* are answers too.
""",
}
KEPT = """Your answers are kept under a pseudonym, together with the time that you took, and are used to train and to
measure models. You may stop at any time; what you have sent by then is kept. Some texts may be unpleasant"""
CONSENT = {
    "comparison": f"You will read texts and say which you prefer. {KEPT}: skip what you do not want to read.\n",
    "ranking": f"You will read texts and put them in order. {KEPT}: skip what you do not want to read.\n",
    "rating": f"You will read texts and rate them. {KEPT}: skip what you do not want to read.\n",
    "chat": f"""You will talk with a model and say which of its replies you prefer. What you write is kept too, as it
is: write nothing that tells who you or others are. {KEPT}: end a conversation when you want to.
""",
}
COMPARING = ("more original", "better written", "follows the request", "funnier", "too long", "clichéd", "incoherent")
ALONE = ("original", "well written", "follows the request", "funny", "too long", "clichéd", "incoherent")
