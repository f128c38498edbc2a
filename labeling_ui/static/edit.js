/** Making a response better: its own words in a text box, kept only where they were changed. */

import { button, el } from "./dom.js";

const MOST = 300_000;

export class Editor {
  /**
   * @param {string} place of the response
   * @param {string} text as its author wrote it
   * @param {{state: object, changed: function(), announce: function(string)}} page with the edits of the answer
   */
  constructor(place, text, { state, changed, announce }) {
    // A text box has no other ends of lines; without this a look into it would count as a change.
    Object.assign(this, { place, text: text.replace(/\r\n?/g, "\n"), state, changed, announce });
    const id = `edit-${place}`;
    this.toggle = button("Edit", () => this.open(), { class: "quiet edit-open", "aria-label": `Edit Response ${place}` });
    this.box = el("textarea", { id, maxlength: String(MOST), rows: "8", dir: "auto", input: () => this.#written() });
    const hint = "It is kept as a new response that is better than this one. Leave it unchanged to keep none.";
    const discard = button("Discard the edit", () => this.discard(), { class: "quiet" });
    this.node = el("div", { class: "editor", hidden: true }, el("label", { for: id }, `A better Response ${place}`), this.box, el("p", { class: "muted" }, hint), discard);
    if (place in state.edits) this.#show();
  }

  /** Show the text box and go there. */
  open() {
    this.#show();
    this.box.focus();
    this.box.scrollIntoView({ block: "nearest" });
  }

  discard() {
    delete this.state.edits[this.place];
    this.node.hidden = true;
    this.toggle.hidden = false;
    this.toggle.focus();
    this.announce("The edit is discarded");
    this.changed();
  }

  #show() {
    if (!this.node.hidden) return;
    this.box.value = this.state.edits[this.place] ?? this.text;
    this.node.hidden = false;
    this.toggle.hidden = true;
  }

  #written() {
    const written = this.box.value;
    if (!written.trim() || written === this.text) delete this.state.edits[this.place];
    else this.state.edits[this.place] = written;
    this.changed();
  }
}
