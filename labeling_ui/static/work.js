/**
 * The annotators' page: asks the server where the annotator stands, and shows that.
 *
 * The server keeps the truth. Every change answers with the next turn, a reload shows the same one again, and
 * nothing here decides what comes next.
 */

import { Awaited } from "./awaited.js";
import { Chat } from "./chat.js";
import { openDialog } from "./dialogs.js";
import { button, duration, el, pane } from "./dom.js";
import { removeOld } from "./drafts.js";
import { Item } from "./item.js";
import { listen, showKeys } from "./keys.js";
import { showLatest } from "./latest.js";
import { Refused, Server } from "./net.js";
import { Review } from "./review.js";
import * as screens from "./screens.js";

const SCREENS = {
  consent: screens.consent,
  check: screens.check,
  failed: screens.failed,
  break: screens.onBreak,
  paused: screens.paused,
  done: screens.done,
  item: (app, turn) => new Item(app, turn),
  review: (app, turn) => (turn.points ? new Review(app, turn) : new Awaited(app, turn)),
  chat: (app, turn) => new Chat(app, turn),
};

/** Begin, in an element of Gradio's page. */
export async function start(root) {
  removeOld();
  await new App(root).begin();
}

export class App {
  constructor(root) {
    this.root = root;
    this.server = new Server((trouble) => this.#trouble(trouble));
    this.screen = { keys: [] };
    this.step = null;
  }

  async begin() {
    this.#frame();
    listen(this.root, () => [...this.screen.keys, ...this.#keys()]);
    const { csrf, title, guidelines } = await this.server.get("/api/me");
    this.server.csrf = csrf;
    this.guidelines = guidelines;
    this.title.textContent = title;
    await this.reload("");
  }

  /** Show where the annotator stands. */
  show(turn, said) {
    this.#replace((SCREENS[turn.step] ?? screens.unknown)(this, turn), turn);
    this.announce(said, { shown: true });
  }

  /** Ask the server again, and show it. */
  async reload(said) {
    this.show(await this.server.get("/api/turn"), said);
  }

  /** Change something on the server, and show what comes of it. */
  act(path, body, said) {
    return this.tried(() => this.server.post(path, body), said);
  }

  /** Do something that answers with a turn; one thing at a time. */
  async tried(change, said = "") {
    if (this.acting) return;
    this.acting = true;
    try {
      this.show(await change(), said);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await this.refused(error);
    } finally {
      this.acting = false;
    }
  }

  /** Say why something was refused; where the page was behind, show how things stand now. */
  async refused(error) {
    // Sent twice, granted the first time: how things stand now says it all.
    if (error.status === 409) await this.reload("");
    if (error.status === 409 && error.again) return;
    this.notice.replaceChildren(el("p", {}, [sentence(error.problem), sentence(error.fix)].filter(Boolean).join(" ")));
    this.notice.append(button("Close", () => (this.notice.hidden = true), { class: "quiet" }));
    this.notice.hidden = false;
  }

  /** Say something to screen readers, and to everybody where it is not visible anyway. */
  announce(text, { shown = false } = {}) {
    this.said.textContent = text;
    this.said.classList.toggle("shown", shown && text !== "");
    clearTimeout(this.saidTimer);
    if (shown) this.saidTimer = setTimeout(() => this.said.classList.remove("shown"), 4000);
  }

  #keys() {
    const at = (steps, binding) => steps.includes(this.step) && binding;
    return [
      at(["item", "done"], { keys: ["U"], what: "change one of the latest answers", run: () => this.#latest() }),
      at(["item", "chat"], { keys: ["P"], what: "take a break", run: () => this.#break() }),
      { keys: ["G"], what: "read the guidelines", run: () => this.#guidelines() },
      { keys: ["?"], what: "this list", run: () => showKeys(this.root, [...this.screen.keys, ...this.#keys()]) },
    ].filter(Boolean);
  }

  async #latest() {
    if (this.acting || this.screen.sending) return;
    showLatest(this.root, await this.server.get("/api/latest"), (lease) => this.#earlier(lease));
  }

  async #earlier(lease) {
    try {
      const turn = await this.server.get(`/api/latest/${encodeURIComponent(lease)}`);
      this.#replace(new Item(this, turn, { earlier: true }), turn);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await this.refused(error);
    }
  }

  async #break() {
    if (this.screen.sending) return;
    // What is written may still be on its way to the server.
    await this.screen.draft?.flush();
    await this.act("/api/break", { on: true }, "");
  }

  #guidelines() {
    openDialog(this.root, "Guidelines", pane(this.guidelines, { tabindex: "0" }));
  }

  #replace(screen, turn) {
    const before = this.screen;
    this.screen = screen;
    this.step = turn.step;
    this.notice.hidden = true;
    this.place.replaceChildren(screen.node);
    this.menu.replaceChildren(...this.#menu());
    this.#progress(turn.progress);
    scrollTo(0, 0);
    screen.node.querySelector(".screen-heading").focus({ preventScroll: true });
    screen.shown?.();
    before.close?.();
  }

  #menu() {
    const names = { G: "Guidelines", U: "Latest answers", P: "Break", "?": "Keys" };
    const entries = this.#keys().filter((each) => !(this.step === "consent" && each.keys[0] === "G"));
    const order = Object.keys(names);
    entries.sort((a, b) => order.indexOf(a.keys[0]) - order.indexOf(b.keys[0]));
    return entries.map(({ keys: [key], run }) => button(names[key], () => run(key), { keys: key, class: "quiet" }));
  }

  #progress(progress) {
    this.progress.hidden = !progress;
    if (!progress) return;
    const { done, most, seconds_each: each, seconds_left: left } = progress;
    const bar = most !== null && el("progress", { max: String(most), value: String(Math.min(done, most)), "aria-label": "Items answered" });
    const text = [
      most === null ? `${done} answered` : `${done} of ${most}`,
      each !== null && done > 0 && `${duration(each)} each`,
      left ? `about ${duration(left)} left` : null,
    ];
    this.progress.replaceChildren(...[bar, el("span", {}, text.filter(Boolean).join(" · "))].filter(Boolean));
  }

  #trouble(trouble) {
    this.lost.hidden = trouble === null;
    if (!trouble) return this.announce("The connection is back.", { shown: true });
    const text = "Connection lost. Your answer is kept, and the page is trying again.";
    // Said once: a line that is written anew would be read out at every try.
    if (!this.lost.firstChild) this.lost.append(el("p", {}, text), button("Try now", () => this.again(), { class: "small" }));
    this.again = trouble.now;
  }

  #frame() {
    this.title = el("h1", {}, "One moment…");
    this.progress = el("div", { class: "progress", hidden: true });
    this.menu = el("nav", { "aria-label": "Page" });
    this.lost = el("div", { class: "banner lost", role: "alert", hidden: true });
    this.notice = el("div", { class: "banner notice", role: "alert", hidden: true });
    this.place = el("div", { class: "screen" });
    this.said = el("p", { class: "said", role: "status" });
    const bar = el("div", { class: "bar" }, this.title, this.progress, this.menu);
    this.root.replaceChildren(bar, this.lost, this.notice, this.place, this.said);
  }
}

/** Make a sentence of what the server says in half of one. */
function sentence(text) {
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
