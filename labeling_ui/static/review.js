/** What a judge says of an answer that was just given: each point is verified, corrected or rejected. */

import { choices } from "./choices.js";
import { button, count, el, heading, pane } from "./dom.js";
import { Draft } from "./drafts.js";
import { ends, request } from "./item.js";
import { Refused } from "./net.js";
import { comparison } from "./scale.js";

const DECISIONS = [
  { value: "verified", label: "Right", key: "R" },
  { value: "edited", label: "Not quite", key: "Q" },
  { value: "rejected", label: "Wrong", key: "W" },
];

/** Said where there is a keyboard. */
const KEYS = matchMedia("(hover: none)").matches ? "" : " (keys: R right, Q not quite, W wrong)";

export class Review {
  /**
   * @param {import("./work.js").App} app the page
   * @param {{item: object, points: {id: string, html: string, text: string, note: string}[]}} turn what the server gave
   */
  constructor(app, { item, points }) {
    Object.assign(this, { app, item, points, rows: [], sending: false });
    // Kept in this browser alone: the answer itself is in the store already.
    this.draft = new Draft(app.server, `${item.lease} review`, { remote: false, said: () => {} });
    const { choice, strength } = item.answer;
    this.state = { choice, strength, points: {}, texts: {}, ...this.draft.newest(null) };
    // What a judge said may be another thing by now: then it is to be decided anew.
    const same = points.filter(({ id, text }) => this.state.points[id] && this.state.texts[id] === text);
    this.state.points = Object.fromEntries(same.map(({ id }) => [id, this.state.points[id]]));
    this.task = comparison(item, this.state, { changed: () => this.#changed(), announce: (text) => app.announce(text) });
    this.node = this.#build();
    this.#refresh();
  }

  /** What keys do here. */
  get keys() {
    const decide = { keys: DECISIONS.map(({ key }) => key), what: "right, not quite, wrong: the next point that is not decided", run: (key) => this.#decideNext(key) };
    return [decide, ...this.task.keys, { keys: ["Enter"], what: "save what you make of it", run: () => this.submit() }];
  }

  /** Leave: what is not finished is kept. */
  close() {
    this.draft.flush();
  }

  /** Send what was made of the points, unless something is missing or it is on its way already. */
  async submit() {
    const missing = this.#missing();
    if (missing || this.sending) return this.app.announce(missing || "It is on its way.");
    // What the blind answer said beside its choice holds as it did.
    const answer = { ...this.item.answer, choice: this.state.choice, strength: this.state.strength };
    this.#busy(true);
    try {
      const turn = await this.app.server.post("/api/review", { lease: this.item.lease, answer, points: this.state.points });
      this.draft.drop();
      this.app.show(turn, "Your review is saved.");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await this.app.refused(error);
    } finally {
      this.#busy(false);
    }
  }

  #missing() {
    const decided = this.state.points;
    const open = this.points.filter(({ id }) => !decided[id]).length;
    if (open) return `${count(open, "point")} left to decide.`;
    const empty = this.points.some(({ id }) => decided[id].decision === "edited" && !decided[id].text.trim());
    return empty ? "A corrected point has no words." : "";
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

  #build() {
    const intro = `Your answer is saved. A model compared the same two responses: check what it says, point by point${KEYS}. Then say once more which one is better; you may well stay with your answer.`;
    const points = this.points.map((point, at) => this.#point(point, at));
    return el(
      "div",
      { class: "item task-comparison review" },
      heading("What a model says"),
      el("p", { class: "lead" }, intro),
      ...shownAgain(this.item),
      el("ol", { class: "points", "aria-label": "What the model says" }, ...points),
      this.#dock(),
    );
  }

  #point({ id, html, text, note }, at) {
    const kept = this.state.points[id];
    const name = `point-${at}`;
    const area = el("textarea", { "aria-labelledby": name, maxlength: "5000", rows: "3", input: () => this.#decide(id, "edited", area.value) });
    area.value = kept?.text ?? text;
    area.hidden = kept?.decision !== "edited";
    const pick = (decision) => {
      area.hidden = decision !== "edited";
      this.#decide(id, decision, area.value);
      if (decision === "edited") area.focus();
    };
    const options = DECISIONS.map(({ value, label }) => ({ value, label }));
    const row = choices(`Point ${at + 1}`, options, { value: kept?.decision, pick, class: "three" });
    this.rows[at] = { take: (value) => (row.set(value), pick(value)) };
    return el("li", { class: "point", style: `--at: ${at}` }, Boolean(note) && el("p", { class: "muted" }, note), pane(html, { id: name }), row.node, area);
  }

  /** Decide the first point that is open, and go on to the one after it. */
  #decideNext(key) {
    const at = this.points.findIndex(({ id }) => !this.state.points[id]);
    if (at < 0) return this.app.announce("All points are decided.");
    const { value, label } = DECISIONS.find((each) => each.key === key);
    this.rows[at].take(value);
    this.app.announce(`Point ${at + 1}: ${label}`);
    const next = this.node.querySelectorAll(".point")[at + 1] ?? this.node.querySelectorAll(".point")[at];
    if (value !== "edited") next.scrollIntoView({ block: "center" });
  }

  #decide(id, decision, text) {
    this.state.points[id] = decision === "edited" ? { decision, text } : { decision };
    this.state.texts[id] = this.points.find((each) => each.id === id).text;
    this.#changed();
  }

  #dock() {
    this.hint = el("p", { id: "missing", class: "muted hint" });
    this.send = button("Save the review", () => this.submit(), { class: "primary send", "aria-describedby": "missing" });
    return el("section", { class: "dock", "aria-label": "Answer" }, ends(), this.task.control, el("div", { class: "dock-send" }, this.hint, this.send));
  }
}

/** What was compared, to look at once more. */
export function shownAgain(item) {
  const responses = item.responses.map(({ html }, at) => response(html, `Response ${at + 1}`));
  return [request(item), el("div", { class: "responses", "data-count": "2" }, ...responses)];
}

function response(html, name) {
  const text = pane(html, { class: "response-text", tabindex: "0", role: "group", "aria-label": `Text of ${name}` });
  return el("article", { class: "response", "aria-label": name }, el("div", { class: "response-head" }, el("h3", {}, name)), text);
}
