/** A judge's words about an answer that was just given, while it says them; when it has said all, they are reviewed. */

import { button, el, heading } from "./dom.js";
import { lines } from "./lines.js";
import { Lost, Refused } from "./net.js";
import { shownAgain } from "./review.js";

/** Reviews whose words broke off once: they are asked for anew without a word one time, and then by hand. */
const brokenOff = new Set();
const LEAD = "Your answer is saved. A model is now comparing the same two responses; when it has finished, check what it says, point by point.";

export class Awaited {
  /**
   * @param {import("./work.js").App} app the page
   * @param {{item: object}} turn what the server gave
   */
  constructor(app, { item }) {
    Object.assign(this, { app, item, parts: [], stop: new AbortController(), failed: false });
    this.words = el("ol", { class: "points", "aria-label": "What the model says" });
    this.status = el("p", { class: "muted writing-now", role: "status" }, "The model is reading…");
    this.problem = el("div", { class: "banner", role: "alert", hidden: true });
    this.node = el(
      "div",
      { class: "item task-comparison review awaited" },
      heading("What a model says"),
      el("p", { class: "lead" }, LEAD),
      ...shownAgain(item),
      el("p", { class: "muted" }, "The model calls Response 1 A, and Response 2 B."),
      this.words,
      this.status,
      this.problem,
    );
    this.#listen();
  }

  /** What keys do here. */
  get keys() {
    return this.failed ? [{ keys: ["Enter"], what: "try again", run: () => this.app.reload("") }] : [];
  }

  /** Leave: the model stops, and is asked anew when the annotator is back. */
  close() {
    this.stop.abort();
  }

  async #listen() {
    try {
      for await (const line of lines(this.app.server, "/api/review/points", { lease: this.item.lease }, this.stop.signal)) {
        if (line.text) this.#write(line);
        if (line.problem) return await this.#behind(new Refused(409, line.problem, line.fix));
        if (line.turn) return this.#whole(line);
      }
      throw new Lost("the words broke off");
    } catch (error) {
      if (this.stop.signal.aborted) return;
      if (error instanceof Refused) return await this.#behind(error);
      if (!(error instanceof Lost)) throw error;
      await this.#lost();
    }
  }

  #write({ part, text }) {
    if (!this.parts[part]) {
      for (const point of this.words.children) point.firstChild.classList.remove("streaming");
      this.parts[part] = document.createTextNode("");
      this.words.append(el("li", { class: "point" }, el("div", { class: "pane streaming", dir: "auto" }, this.parts[part])));
      this.status.textContent = "The model is writing…";
    }
    this.parts[part].appendData(text);
  }

  #whole({ turn, said }) {
    const place = scrollY;
    this.app.show(turn, said || "The model has finished. Check what it says.");
    // What was read until now stays where it was.
    if (turn.step === "review") scrollTo(0, place);
  }

  /** How things stand now says what became of it. */
  #behind(error) {
    this.stop.abort();
    return this.app.refused(error);
  }

  /** Wait for the connection, and ask anew: once by itself. */
  async #lost() {
    const again = this.item.lease;
    if (!brokenOff.has(again)) {
      brokenOff.add(again);
      return this.app.reload("");
    }
    this.failed = true;
    this.status.hidden = true;
    const retry = button("Try again", () => this.app.reload(""), { keys: "Enter", class: "primary small" });
    this.problem.replaceChildren(el("p", {}, "The model's words broke off. Your answer is saved. Try again."), retry);
    this.problem.hidden = false;
    retry.focus();
  }
}
