/** An item: what is asked, the responses, the answer, and sending it, once. */

import { confirm } from "./dialogs.js";
import { button, el, heading, pane } from "./dom.js";
import { Draft } from "./drafts.js";
import { Editor } from "./edit.js";
import { Marks } from "./marks.js";
import { criteria, rationale, reasons } from "./more.js";
import { Refused } from "./net.js";
import { ranking } from "./ranking.js";
import { rating } from "./rating.js";
import { comparison } from "./scale.js";

const TASKS = { comparison, ranking, rating };
const ROLES = { system: "Instructions", user: "Person", assistant: "Assistant", tool: "Tool" };
const EMPTY = { reasons: [], rationale: "", spans: [], edits: {}, criteria: {}, ranks: {}, ratings: {} };

export class Item {
  /**
   * @param {import("./work.js").App} app the page
   * @param {{item: object, progress: object}} turn what the server gave
   * @param {{earlier: boolean}} options whether it was answered before, and is to be changed
   */
  constructor(app, { item, progress }, { earlier = false } = {}) {
    Object.assign(this, { app, item, earlier, sending: false, shownAt: performance.now() });
    this.draft = new Draft(app.server, item.lease, { remote: !earlier, said: (text) => (this.kept.textContent = text) });
    const draft = this.draft.newest(item.draft);
    this.restored = draft !== null;
    this.state = { ...structuredClone(EMPTY), ...item.answer, ...draft };
    this.page = { state: this.state, changed: () => this.#changed(), announce: (text) => app.announce(text) };
    this.task = TASKS[item.task](item, this.state, this.page);
    this.marks = item.may_mark ? new Marks(this.page) : null;
    this.node = this.#build(progress);
    this.#refresh();
    if (!earlier) this.timer = setTimeout(() => this.#refresh(), item.least_seconds * 1000);
  }

  /** What keys do here. */
  get keys() {
    return [
      ...this.task.keys,
      { keys: ["N"], what: "write a reason", run: () => this.rationale.box.focus() },
      this.marks && { keys: ["M"], what: "mark the selected passage; without one, sentence by sentence (← →)", run: () => this.marks.begin() },
      this.item.may_edit && { keys: ["E"], what: "edit a response into a better one", run: () => this.#edit() },
      { keys: ["Enter"], what: this.earlier ? "save the change" : "submit the answer", run: () => this.submit() },
      this.#skippable() && { keys: ["S"], what: "skip this item", run: () => this.skip() },
    ].filter(Boolean);
  }

  /** Leave: what is not finished is kept. */
  close() {
    clearTimeout(this.timer);
    this.marks?.close();
    this.draft.flush();
  }

  /** Send the answer, unless something is missing or it is on its way already. */
  async submit() {
    const missing = this.#missing();
    if (missing || this.sending) return this.app.announce(missing || "The answer is on its way.");
    const { reasons: ticked, rationale: words, spans, edits } = this.state;
    const answer = { ...this.task.answer(), reasons: ticked, rationale: words, spans, edits };
    this.#busy(true);
    try {
      const turn = await this.app.server.post(this.earlier ? "/api/revise" : "/api/submit", { lease: this.item.lease, answer });
      this.draft.drop();
      this.app.show(turn, this.earlier ? "The change is saved." : "Your answer is saved.");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await this.#refused(error);
    } finally {
      this.#busy(false);
    }
  }

  /** Give the item back, if that is really wanted. */
  async skip() {
    const text = "It goes to somebody else and does not come back to you. What you have written about it is not kept.";
    if (this.sending || !(await confirm(this.app.root, "Skip this item?", text, { yes: "Skip it", no: "Keep it" }))) return;
    this.draft.drop();
    await this.app.act("/api/give-back", { lease: this.item.lease }, "The item was skipped.");
  }

  /** An answer that is refused after it was sent again may have arrived the first time. */
  async #refused(error) {
    if (error.status === 409 && error.again && !this.earlier) {
      const { answers } = await this.app.server.get("/api/latest");
      if (answers.some((each) => each.lease === this.item.lease)) {
        this.draft.drop();
        return this.app.show(await this.app.server.get("/api/turn"), "Your answer had arrived and is saved.");
      }
    }
    return this.app.refused(error);
  }

  #skippable() {
    return !this.earlier && !this.item.qualification;
  }

  #missing() {
    const missing = this.task.missing();
    if (missing || this.earlier) return missing;
    const left = this.item.least_seconds - (performance.now() - this.shownAt) / 1000;
    return left > 0 ? `Take ${Math.ceil(left)} s to read before you submit.` : "";
  }

  #changed() {
    this.draft.keep(this.state);
    this.#refresh();
  }

  #busy(sending) {
    this.sending = sending;
    this.#refresh();
  }

  #refresh() {
    const missing = this.#missing();
    this.send.setAttribute("aria-disabled", String(Boolean(missing) || this.sending));
    this.hint.textContent = this.sending ? "Sending…" : missing;
  }

  #edit() {
    const focused = this.responses.findIndex(({ node }) => node.contains(document.activeElement));
    const place = focused >= 0 ? focused : Number(this.task.preferred() ?? 1) - 1;
    this.responses[place].editor.open();
  }

  #build(progress) {
    this.kept = el("span", { class: "muted kept" }, this.restored ? "Draft restored" : "");
    const title = this.earlier ? "Change an earlier answer" : `Item ${progress.done + 1}`;
    const note = this.item.qualification && el("p", { class: "muted" }, "This item belongs to the qualification.");
    this.responses = this.item.responses.map((response, at) => this.#response(response, String(at + 1)));
    this.rationale = rationale(this.state, this.page.changed);
    const shown = this.responses.map(({ node }) => node);
    return el(
      "div",
      { class: `item task-${this.item.task}` },
      el("div", { class: "item-head" }, heading(title), this.kept),
      note,
      request(this.item),
      el("div", { class: "responses", "data-count": String(shown.length) }, ...shown),
      this.task.section,
      el("section", { class: "more", "aria-label": "Reasons" }, criteria(this.item, this.state, this.page), reasons(this.item, this.state, this.page.changed), this.rationale.node),
      this.#dock(),
    );
  }

  #response({ html, text }, place) {
    const name = this.item.responses.length > 1 ? `Response ${place}` : "Response";
    const shown = pane(html, { class: "response-text", tabindex: "0", role: "group", "aria-label": `Text of ${name}` });
    const editor = this.item.may_edit ? new Editor(place, text, this.page) : null;
    const node = el("article", { class: "response", "aria-label": name }, el("div", { class: "response-head" }, el("h3", {}, name), editor?.toggle), shown);
    this.marks?.add(place, shown, node);
    if (editor) node.append(editor.node);
    return { node, editor };
  }

  #dock() {
    this.hint = el("p", { id: "missing", class: "muted hint" });
    const text = this.earlier ? "Save the change" : "Submit";
    this.send = button(text, () => this.submit(), { class: "primary send", "aria-describedby": "missing" });
    const other = this.earlier
      ? button("Cancel", () => this.#cancel(), { class: "quiet" })
      : this.#skippable() && button("Skip", () => this.skip(), { keys: "S", class: "quiet" });
    return el("section", { class: "dock", "aria-label": "Answer" }, this.item.task === "comparison" && ends(), this.task.control, el("div", { class: "dock-send" }, this.hint, other, this.send));
  }

  #cancel() {
    this.draft.drop();
    return this.app.reload("The earlier answer stays as it was.");
  }
}

/** What stands above the two ends of the scale. */
export function ends() {
  return el("div", { class: "ends", "aria-hidden": "true" }, el("span", {}, "Response 1 is"), el("span", {}, "Response 2 is"));
}

/** What was asked for, as a conversation where it was one. */
export function request({ messages }) {
  return el("section", { class: "prompt", "aria-label": "Request" }, ...messages.map((each) => message(each, messages.length)));
}

function message({ role, html }, count) {
  const name = count === 1 && role === "user" ? "Request" : (ROLES[role] ?? role);
  return el("div", { class: `message ${role}` }, el("h3", {}, name), pane(html));
}
