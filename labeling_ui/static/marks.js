/**
 * Marking passages as good or bad: by selecting text, or sentence by sentence with the keyboard.
 *
 * Marks are painted by the browser (CSS highlights) and change nothing of the text, so that offsets hold.
 */

import { button, el } from "./dom.js";
import { Passage, rangeOfSpan, sentences } from "./passages.js";

const MOST = 50;
const SETTLED = 250;
const SIGNS = { good: "Good", bad: "Bad" };

export class Marks {
  /** @param {{state: object, changed: function(), announce: function(string)}} page with the spans of the answer */
  constructor({ state, changed, announce }) {
    Object.assign(this, { state, changed, announce, texts: new Map(), open: null, settle: null });
    this.onSelection = () => {
      clearTimeout(this.settle);
      this.settle = setTimeout(() => this.#selected(), SETTLED);
    };
    this.onResize = () => this.open && this.#aim(this.open.passage);
    document.addEventListener("selectionchange", this.onSelection);
    addEventListener("resize", this.onResize);
  }

  /** Take a response in: its pane, and the article in which the marks are listed. */
  add(place, pane, article) {
    const list = el("ul", { class: "marks", "aria-label": `Marks in Response ${place}` });
    article.append(list);
    this.texts.set(place, { pane, article, list });
    this.#list(place);
  }

  /** Stop listening, and take the paint away. */
  close() {
    document.removeEventListener("selectionchange", this.onSelection);
    removeEventListener("resize", this.onResize);
    clearTimeout(this.settle);
    this.#hide();
    for (const name of ["good", "bad"]) paint(name, []);
  }

  /** Mark what is selected, or else begin with the first sentence of the response in which the focus is. */
  begin() {
    const selected = this.#selection();
    if (selected) {
      this.#show(selected.place, selected.passage);
    } else {
      const entries = [...this.texts];
      const [place, { pane }] = entries.find(([, { article }]) => article.contains(document.activeElement)) ?? entries[0];
      const all = sentences(pane);
      if (!all.length) return;
      this.walk = { place, all, first: 0, last: 0 };
      this.#step(0, 0);
    }
    this.open?.bar.querySelector("button, input").focus();
    this.open?.bar.scrollIntoView({ block: "nearest" });
  }

  #selection() {
    for (const [place, { pane }] of this.texts) {
      const passage = Passage.selected(pane);
      if (passage) return { place, passage };
    }
    return null;
  }

  #selected() {
    const found = this.#selection();
    if (found && !this.open?.bar.contains(document.activeElement)) {
      this.walk = null;
      this.#show(found.place, found.passage);
    } else if (!found && !this.walk && this.open && !this.open.bar.contains(document.activeElement)) {
      this.#hide();
    }
  }

  #step(first, last) {
    const { place, all } = this.walk;
    this.walk.first = Math.min(Math.max(this.walk.first + first, 0), all.length - 1);
    this.walk.last = Math.min(Math.max(this.walk.last + last, this.walk.first), all.length - 1);
    const passage = new Passage(all[0].pane, all[this.walk.first].start, all[this.walk.last].end);
    if (this.open) this.#aim(passage);
    else this.#show(place, passage);
    this.announce(passage.quote);
  }

  #show(place, passage) {
    const note = this.open?.place === place ? this.open.note.value : "";
    this.#hide();
    const input = el("input", { type: "text", maxlength: "2000", placeholder: "Why? (optional)", "aria-label": "Note on the passage" });
    input.value = note;
    const sign = (name) => button(SIGNS[name], () => this.#mark(name, input.value), { class: `sign-${name}` });
    const bar = el(
      "div",
      { class: "mark-bar", role: "group", "aria-label": "Mark this passage", keydown: (event) => this.#key(event) },
      this.walk && this.#walking(),
      el("div", { class: "mark-signs" }, input, sign("good"), sign("bad"), button("Cancel", () => this.#leave(), { class: "quiet" })),
    );
    const { article } = this.texts.get(place);
    article.append(bar);
    this.open = { place, bar, note: input };
    this.#aim(passage);
  }

  #walking() {
    const to = (text, label, first, last) => button(text, () => this.#step(first, last), { class: "small", "aria-label": label });
    return el(
      "div",
      { class: "mark-walk" },
      to("← Sentence", "← Sentence before", -1, -1),
      to("Sentence →", "Sentence → after", 1, 1),
      to("Longer", "Longer by a sentence", 0, 1),
      to("Shorter", "Shorter by a sentence", 0, -1),
    );
  }

  /** Point the bar at a passage. */
  #aim(passage) {
    this.open.passage = passage;
    paint("pending", [passage.range()]);
    const { article } = this.texts.get(this.open.place);
    const frame = article.getBoundingClientRect();
    const box = passage.range().getBoundingClientRect();
    const most = frame.width - this.open.bar.offsetWidth - 8;
    this.open.bar.style.top = `${box.bottom - frame.top + 8}px`;
    this.open.bar.style.left = `${Math.max(8, Math.min(box.left - frame.left, most))}px`;
  }

  #hide() {
    paint("pending", []);
    this.open?.bar.remove();
    this.open = null;
  }

  /** Close the bar, and go back to the text. */
  #leave() {
    const { pane } = this.texts.get(this.open.place);
    this.walk = null;
    document.getSelection().removeAllRanges();
    this.#hide();
    pane.focus({ preventScroll: true });
  }

  #mark(sign, note) {
    const { place, passage } = this.open;
    if (passage.tooLong) return this.announce("A mark holds at most 5,000 characters; select less.");
    if (this.state.spans.length >= MOST) return this.announce(`At most ${MOST} passages can be marked.`);
    this.state.spans.push(passage.span(place, sign, note.trim()));
    this.#leave();
    this.#list(place);
    this.changed();
    this.announce(`Marked as ${sign}: ${passage.quote.slice(0, 80)}`);
  }

  #remove(place, span) {
    this.state.spans.splice(this.state.spans.indexOf(span), 1);
    this.#list(place);
    this.changed();
    this.announce("The mark is removed");
    this.texts.get(place).pane.focus({ preventScroll: true });
  }

  #list(place) {
    const { list } = this.texts.get(place);
    const mine = this.state.spans.filter((span) => span.response === place);
    list.replaceChildren(...mine.map((span) => this.#item(place, span)));
    for (const sign of ["good", "bad"]) {
      const spans = this.state.spans.filter((span) => span.sign === sign && this.texts.has(span.response));
      paint(sign, spans.map((span) => rangeOfSpan(this.texts.get(span.response).pane, span)));
    }
  }

  #item(place, span) {
    const short = span.quote.length > 90 ? `${span.quote.slice(0, 90)}…` : span.quote;
    const remove = button("Remove", () => this.#remove(place, span), { class: "small", "aria-label": `Remove the mark on “${short.slice(0, 40)}”` });
    const quote = el("bdi", { class: "quote" }, `“${short}”`);
    const note = span.note && el("bdi", { class: "note" }, span.note);
    return el("li", { class: span.sign }, el("span", { class: "sign-name" }, SIGNS[span.sign]), el("span", {}, quote, note ? " — " : "", note), remove);
  }

  #key(event) {
    const steps = { ArrowLeft: [-1, -1], ArrowRight: [1, 1] };
    if (event.key === "Escape") this.#leave();
    else if (this.walk && steps[event.key] && !event.target.matches("input")) this.#step(...(event.shiftKey ? [0, steps[event.key][1]] : steps[event.key]));
    else return;
    event.preventDefault();
  }
}

function paint(name, ranges) {
  // A browser without highlights still lists the marks.
  if (!globalThis.CSS?.highlights) return;
  if (ranges.length) CSS.highlights.set(`mark-${name}`, new Highlight(...ranges));
  else CSS.highlights.delete(`mark-${name}`);
}
