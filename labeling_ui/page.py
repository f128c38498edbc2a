"""The annotators' page: Gradio's frame around one widget, which speaks with /api.

The widget is a module of its own (static/work.js), not an event of Gradio's: an answer is then one request
with a lease and a token, that is sent again after a lost connection or a restart of the server, where
Gradio's event stream would have to be reloaded with all that the annotator had written.
"""

from __future__ import annotations

from typing import Any

from rewardkit.extras import require

WIDGET = '<div id="work"><p class="waiting">One moment…</p></div>'
START = """
const root = element.querySelector('#work');
import('/static/work.js').then(
    (module) => module.start(root),
    (error) => {
        root.textContent = 'The page did not arrive in full. Your work is kept: reload the page.';
        throw error;
    },
);
"""


def work_page(title: str) -> Any:
    """Return the Gradio app of the work page."""
    gradio = require("gradio", "ui")
    with gradio.Blocks(title=title, analytics_enabled=False) as blocks:
        gradio.HTML(html_template=WIDGET, js_on_load=START, elem_id="work-frame", apply_default_css=False)
    return blocks
