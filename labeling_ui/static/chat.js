/**
 * A conversation with a model: the annotator writes, two replies come at the same time, the better one goes on.
 *
 * The server says what the conversation waits for; a reload shows the same. Replies that were not whole yet are
 * written anew then, the message they belong to is never asked for twice.
 */

import { confirm } from "./dialogs.js";
import { button, count, el, heading, pane } from "./dom.js";
import { Draft } from "./drafts.js";
import { lines } from "./lines.js";
import { criteria, rationale, reasons } from "./more.js";
import { Lost, Refused } from "./net.js";
import { comparison } from "./scale.js";

const NAMES = { user: "You", assistant: "Assistant" };
const EMPTY = { reasons: [], rationale: "", criteria: {}, ratings: {} };
const LEAD = "Write what you would like to talk about. You get two replies to each message: say which one is better, and the conversation goes on from it.";
/** Where there is no keyboard, Enter begins a line, as it does everywhere on a phone. */
const TOUCH = matchMedia("(hover: none)").matches;
const HINT = TOUCH ? "" : "Enter sends, Shift+Enter begins a line.";
/** Messages whose replies broke off once: they are asked for anew without a word one time, and then by hand. */
const brokenOff = new Set();

export class Chat {
  /**
   * @param {import("./work.js").App} app the page
   * @param {{chat: object}} turn what the server gave
   */
  constructor(app, { chat }) {
    this.app = app;
    this.node = el("div", { class: "item comparison chat" });
    this.#fill(chat);
  }

  /** What keys do here. */
  get keys() {
    return [...this.stage.keys, this.chat.may_end && { keys: ["F"], what: "end this conversation", run: () => this.end() }].filter(Boolean);
  }

  /** Look where something is to be done, once the screen is there. */
  shown() {
    this.stage.shown();
  }

  /** Leave: replies on their way are stopped, and written anew when the annotator is back. */
  close() {
    this.stage.close?.();
  }

  /** Take what the server says of the same conversation, and leave the page where it is. */
  update({ chat }, said) {
    const inside = this.node.contains(document.activeElement);
    this.close();
    this.#fill(chat);
    if (inside) this.node.querySelector(".screen-heading").focus({ preventScroll: true });
    this.app.announce(said);
  }

  /** Do something that the conversation waits for. */
  act(path, more, said) {
    return this.app.act(path, { token: this.chat.token, ...more }, said);
  }

  /** End the conversation, if that is really wanted. */
  async end() {
    const { number, conversations } = this.chat;
    const text = number < conversations ? "You begin another one then." : "It is your last one.";
    if (await confirm(this.app.root, "End this conversation?", text, { yes: "End it", no: "Go on" })) await this.act("/api/chat/end", {}, "The conversation is ended.");
  }

  #fill(chat) {
    this.chat = chat;
    this.stage = new STAGES[chat.awaits](this);
    const { number, conversations, turn, turns, messages } = chat;
    const title = conversations > 1 ? `Conversation ${number} of ${conversations}` : "Conversation";
    const end = chat.may_end && button("End this conversation", () => this.end(), { keys: "F", class: "quiet small" });
    const far = el("p", { class: "muted far" }, `Turn ${turn} of ${turns}`, end);
    const said = el("section", { class: "prompt said-so-far", "aria-label": "Conversation" }, ...messages.map(message));
    this.node.replaceChildren(el("div", { class: "item-head" }, heading(title), far), ...(messages.length ? [said] : []), ...this.stage.nodes);
  }
}

/** The annotator's turn to write. */
class Writing {
  constructor(page) {
    const { chat, app } = page;
    Object.assign(this, { page, sending: false, draft: new Draft(app.server, chat.token, { remote: false, said: () => {} }) });
    const begins = chat.messages.length === 0;
    this.box = el("textarea", { id: "message", rows: "3", maxlength: String(chat.longest), dir: "auto", "aria-describedby": "message-hint" });
    this.box.value = this.draft.newest(null)?.text ?? "";
    this.box.addEventListener("input", () => this.#changed());
    this.box.addEventListener("keydown", (event) => this.#pressed(event));
    this.hint = el("p", { id: "message-hint", class: "muted hint" });
    this.send = button("Send", () => this.submit(), { class: "primary send" });
    const label = el("label", { for: "message" }, begins ? "Begin the conversation" : "Your next message");
    this.nodes = [el("section", { class: "writing", "aria-label": "Your message" }, begins && el("p", { class: "lead" }, LEAD), label, this.box, el("div", { class: "dock-send" }, this.hint, this.send))];
    this.#refresh();
  }

  get keys() {
    return [{ keys: ["N"], what: "write a message (Enter sends it, Shift+Enter begins a line)", run: () => this.box.focus() }];
  }

  shown() {
    this.box.focus({ preventScroll: true });
    if (this.page.chat.messages.length) this.send.scrollIntoView({ block: "end" });
  }

  async submit() {
    const text = this.box.value;
    if (!text.trim() || this.sending) return this.page.app.announce(this.sending ? "The message is on its way." : "Write something first.");
    this.sending = true;
    this.#refresh();
    await this.page.app.tried(async () => {
      const turn = await this.page.app.server.post("/api/chat/say", { token: this.page.chat.token, text });
      this.draft.drop();
      return turn;
    });
    this.sending = false;
    this.#refresh();
  }

  #pressed(event) {
    if (event.key !== "Enter" || TOUCH || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!event.repeat) this.submit();
  }

  #changed() {
    this.draft.keep({ text: this.box.value });
    this.#refresh();
  }

  #refresh() {
    const left = this.page.chat.longest - this.box.value.length;
    this.hint.textContent = left < 200 ? `${count(left, "character")} left.` : HINT;
    this.send.setAttribute("aria-disabled", String(!this.box.value.trim() || this.sending));
  }
}

/** Two replies on their way. */
class Streaming {
  constructor(page) {
    Object.assign(this, { page, stop: new AbortController(), failed: false });
    this.texts = ["1", "2"].map(() => document.createTextNode(""));
    this.status = el("p", { class: "muted writing-now", role: "status" }, "Both replies are being written…");
    this.problem = el("div", { class: "banner", role: "alert", hidden: true });
    this.nodes = [pair(this.texts.map((text) => el("div", { class: "pane response-text streaming", dir: "auto" }, text))), this.status, this.problem];
    this.#read();
  }

  get keys() {
    return this.failed ? [{ keys: ["Enter"], what: "try again", run: () => this.page.app.reload("") }] : [];
  }

  shown() {
    this.nodes[0].scrollIntoView({ block: "nearest" });
  }

  close() {
    this.stop.abort();
  }

  async #read() {
    const { app, chat } = this.page;
    try {
      for await (const line of lines(app.server, "/api/chat/replies", { token: chat.token }, this.stop.signal)) {
        if (line.text) this.texts[Number(line.place) - 1].appendData(line.text);
        if (line.problem) return this.#fail(line.problem, line.fix);
        if (line.turn) return this.#whole(line.turn);
      }
      throw new Lost("the replies broke off");
    } catch (error) {
      if (this.stop.signal.aborted) return;
      if (error instanceof Refused) return this.#fail(error.problem, error.fix);
      if (!(error instanceof Lost)) throw error;
      await this.#lost();
    }
  }

  #whole(turn) {
    if (turn.step === "chat" && turn.chat.awaits === "choice") return this.page.update(turn, "Both replies are there. Choose the better one.");
    this.page.app.show(turn, turn.step === "chat" ? "Both replies were the same, so there was nothing to choose." : "");
  }

  /** Wait for the connection, and have the replies written anew: once by itself. */
  async #lost() {
    const { app, chat } = this.page;
    if (brokenOff.has(chat.token)) return this.#fail("The replies broke off", "Your message is kept. Try again.");
    brokenOff.add(chat.token);
    await app.reload("");
  }

  #fail(problem, fix) {
    this.failed = true;
    this.status.hidden = true;
    const text = [problem, fix].map((each) => each && each[0].toUpperCase() + each.slice(1) + (/[.!?]$/.test(each) ? "" : "."));
    const again = button("Try again", () => this.page.app.reload(""), { keys: "Enter", class: "primary small" });
    this.problem.replaceChildren(el("p", {}, text.filter(Boolean).join(" ")), again);
    this.problem.hidden = false;
    again.focus();
  }
}

/** Two whole replies, of which the better one goes on. */
class Choosing {
  constructor(page) {
    const { app, chat } = page;
    Object.assign(this, { page, sending: false, shownAt: performance.now(), draft: new Draft(app.server, chat.token, { remote: false, said: () => {} }) });
    this.state = { ...structuredClone(EMPTY), ...this.draft.newest(null) };
    const told = { changed: () => this.#changed(), announce: (text) => app.announce(text) };
    const item = { task: "comparison", ...chat };
    this.task = comparison(item, this.state, told);
    this.rationale = rationale(this.state, told.changed);
    const shown = chat.replies.map(({ html }, at) => pane(html, { class: "response-text", tabindex: "0", role: "group", "aria-label": `Text of Response ${at + 1}` }));
    const more = [criteria(item, this.state, told), reasons(item, this.state, told.changed), this.rationale.node];
    this.nodes = [pair(shown), el("section", { class: "more", "aria-label": "Reasons" }, ...more), this.#dock()];
    this.#refresh();
    this.timer = setTimeout(() => this.#refresh(), chat.least_seconds * 1000);
  }

  get keys() {
    return [
      ...this.task.keys,
      { keys: ["N"], what: "write a reason", run: () => this.rationale.box.focus() },
      { keys: ["Enter"], what: "go on from the better reply", run: () => this.submit() },
    ];
  }

  shown() {
    this.nodes[0].scrollIntoView({ block: "start" });
  }

  close() {
    clearTimeout(this.timer);
  }

  async submit() {
    const missing = this.#missing();
    if (missing || this.sending) return this.page.app.announce(missing || "The answer is on its way.");
    const answer = { ...this.task.answer(), reasons: this.state.reasons, rationale: this.state.rationale };
    this.sending = true;
    this.#refresh();
    await this.page.app.tried(async () => {
      const turn = await this.page.app.server.post("/api/chat/pick", { token: this.page.chat.token, answer });
      this.draft.drop();
      return turn;
    }, "Your answer is saved.");
    this.sending = false;
    this.#refresh();
  }

  #missing() {
    const left = this.page.chat.least_seconds - (performance.now() - this.shownAt) / 1000;
    return this.task.missing() || (left > 0 ? `Take ${Math.ceil(left)} s to read before you go on.` : "");
  }

  #changed() {
    this.draft.keep(this.state);
    this.#refresh();
  }

  #refresh() {
    const missing = this.#missing();
    this.send.setAttribute("aria-disabled", String(Boolean(missing) || this.sending));
    this.hint.textContent = this.sending ? "Sending…" : missing;
  }

  #dock() {
    this.hint = el("p", { id: "missing", class: "muted hint" });
    this.send = button("Go on", () => this.submit(), { class: "primary send", "aria-describedby": "missing" });
    const ends = el("div", { class: "ends", "aria-hidden": "true" }, el("span", {}, "Response 1 is"), el("span", {}, "Response 2 is"));
    return el("section", { class: "dock", "aria-label": "Answer" }, ends, this.task.control, el("div", { class: "dock-send" }, this.hint, this.send));
  }
}

const STAGES = { message: Writing, replies: Streaming, choice: Choosing };

function pair(shown) {
  const articles = shown.map((text, at) => {
    const name = `Response ${at + 1}`;
    return el("article", { class: "response", "aria-label": name }, el("div", { class: "response-head" }, el("h3", {}, name)), text);
  });
  return el("div", { class: "responses", "data-count": "2" }, ...articles);
}

function message({ role, html }) {
  return el("div", { class: `message ${role}` }, el("h3", {}, NAMES[role] ?? role), pane(html));
}
