/**
 * Ranking several responses: they are placed one after the other, the best first, and moved afterwards: by buttons, by
 * keys, or by dragging.
 *
 * Nothing is placed at the beginning: an order that stood there already would be an answer that nobody gave.
 */

import { button, count, el } from "./dom.js";
import { Dragging } from "./dragging.js";

/** Return what an answer says, in words. */
export function rankingInWords(answer) {
  if (answer.ranks === null) return "cannot judge";
  return rowsOf(answer.ranks)
    .map((row, at) => (at ? (row.tied ? " = " : " > ") : "") + row.place)
    .join("");
}

/**
 * The part of the page on which responses are ranked.
 * @param {object} item what is labelled
 * @param {object} state of the answer; `ranks` holds the rank of each response that is placed, or null for none
 * @param {{changed: function(), announce: function(string)}} page to be told
 */
export function ranking(item, state, page) {
  const ladder = new Ladder(item.responses.length, state, page);
  const places = item.responses.map((_, at) => String(at + 1));
  return {
    control: null,
    section: ladder.node,
    keys: [
      { keys: places, what: "place a response next, or go to it; then ↑ ↓ move it, = ties it with the one above, Delete takes it out", run: (key) => ladder.place(key) },
      { keys: ["C"], what: "cannot judge", run: () => ladder.giveUp() },
    ],
    missing: () => (state.ranks && ladder.left().length ? `Place ${count(ladder.left().length, "more response")}.` : ""),
    answer: () => ({ task: "ranking", ranks: state.ranks }),
    preferred: () => ladder.rows[0]?.place,
  };
}

class Ladder {
  constructor(size, state, page) {
    Object.assign(this, { size, state, page, rows: rowsOf(state.ranks ?? {}) });
    this.pool = el("div", { class: "pool", role: "group", "aria-label": "Not placed yet" });
    this.list = el("ol", { class: "ladder", "aria-label": "Best first", keydown: (event) => this.#key(event) });
    this.none = button("Cannot judge", () => this.giveUp(), { keys: "C", class: "quiet" });
    this.node = el("section", { class: "ranking", "aria-label": "Your ranking" }, el("h3", {}, "Your ranking"), this.pool, this.list, this.none);
    this.dragging = new Dragging(this.node, this.list, {
      drop: (place, to) => this.#drop(place, to),
      stays: (place) => page.announce(`Response ${place} stays where it was`),
    });
    this.#draw();
  }

  left() {
    const placed = new Set(this.rows.map((row) => row.place));
    return Array.from({ length: this.size }, (_, at) => String(at + 1)).filter((place) => !placed.has(place));
  }

  /** Put a response below those that are placed; one that is placed gets the focus. */
  place(place) {
    if (this.left().includes(place)) {
      this.rows.push({ place, tied: false });
      this.#changed(place);
    }
    this.#focus(place);
  }

  giveUp() {
    this.rows = [];
    this.state.ranks = this.state.ranks === null ? {} : null;
    this.page.announce(this.state.ranks === null ? "cannot judge" : "nothing placed yet");
    this.page.changed();
    this.#draw();
  }

  #move(place, step) {
    const from = this.#at(place);
    const to = from + step;
    if (to < 0 || to >= this.rows.length) return;
    // Ties belong to the steps of the ladder, not to the responses: they stay where they are.
    [this.rows[from].place, this.rows[to].place] = [this.rows[to].place, this.rows[from].place];
    this.#changed(place);
  }

  /** Put a response at a step of the ladder; what stood there and below goes down. */
  #drop(place, to) {
    const from = this.#at(place);
    if (from < 0) {
      // Between two that are tied, it is tied with both.
      this.rows.splice(to, 0, { place, tied: this.rows[to]?.tied ?? false });
    } else {
      // Ties stay where they are, as they do with keys.
      const places = this.rows.map((row) => row.place);
      places.splice(to, 0, ...places.splice(from, 1));
      places.forEach((each, at) => (this.rows[at].place = each));
    }
    this.#changed(place);
  }

  #tie(place) {
    const at = this.#at(place);
    if (at < 1) return;
    this.rows[at].tied = !this.rows[at].tied;
    this.#changed(place);
  }

  #takeOut(place) {
    this.rows.splice(this.#at(place), 1);
    if (this.rows.length) this.rows[0].tied = false;
    this.#changed(place);
    this.pool.querySelector("button")?.focus();
  }

  #at(place) {
    return this.rows.findIndex((row) => row.place === place);
  }

  #changed(place) {
    this.state.ranks = ranksOf(this.rows);
    const rank = this.state.ranks[place];
    this.page.announce(rank ? `Response ${place}: rank ${rank}` : `Response ${place} is taken out`);
    this.page.changed();
    this.#draw();
    this.#focus(place);
  }

  #focus(place) {
    this.list.querySelector(`[data-place="${place}"]`)?.focus();
  }

  #key(event) {
    const place = event.target.closest("[data-place]")?.dataset.place;
    const action = {
      ArrowUp: () => this.#move(place, -1),
      ArrowDown: () => this.#move(place, 1),
      "=": () => this.#tie(place),
      Delete: () => this.#takeOut(place),
      Backspace: () => this.#takeOut(place),
    }[event.key];
    if (!place || !action || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    action();
  }

  #draw() {
    this.dragging.cancel();
    const nothing = this.state.ranks === null;
    const left = this.left();
    const hint = nothing ? "You cannot judge these." : left.length ? `Place the ${this.rows.length ? "next best" : "best"}:` : "All are placed.";
    const buttons = left.map((place) => this.#unplaced(place));
    this.pool.replaceChildren(el("p", {}, hint), ...(nothing ? [] : buttons));
    this.list.replaceChildren(...this.rows.map((row, at) => this.#row(row, at)));
    this.none.setAttribute("aria-pressed", String(nothing));
  }

  #unplaced(place) {
    const node = button(`Response ${place}`, () => this.place(place), { keys: place });
    // A finger taps it, and scrolls.
    node.addEventListener("pointerdown", (event) => event.pointerType !== "touch" && this.dragging.grab(event, place, node));
    return node;
  }

  #row({ place, tied }, at) {
    const name = `Response ${place}`;
    const act = (text, label, run, more) => button(text, run, { class: "small", "aria-label": `${label}: ${name}`, ...more });
    const row = el(
      "li",
      { "data-place": place, tabindex: "-1", class: tied ? "tied" : null },
      el("span", { class: "grip", "aria-hidden": "true" }),
      el("span", { class: "rank" }, String(ranksOf(this.rows)[place])),
      el("span", { class: "who" }, name),
      act("↑", "Move up", () => this.#move(place, -1), { "aria-disabled": String(at === 0) }),
      act("↓", "Move down", () => this.#move(place, 1), { "aria-disabled": String(at === this.rows.length - 1) }),
      act("= above", "= above, tied", () => this.#tie(place), { "aria-pressed": String(tied), "aria-disabled": String(at === 0) }),
      act("✕", "Take out", () => this.#takeOut(place)),
    );
    row.addEventListener("pointerdown", (event) => {
      // A finger on the row itself scrolls the page.
      const held = event.target.closest(event.pointerType === "touch" ? ".grip" : "li, button");
      if (held && held.tagName !== "BUTTON") this.dragging.grab(event, place, row);
    });
    return row;
  }
}

/** Return ranks by place: 1 for the best, the same for those that are tied. */
function ranksOf(rows) {
  let rank = 0;
  return Object.fromEntries(rows.map((row) => [row.place, (rank += row.tied ? 0 : 1)]));
}

function rowsOf(ranks) {
  const placed = Object.entries(ranks).sort(([a, rankA], [b, rankB]) => rankA - rankB || Number(a) - Number(b));
  return placed.map(([place, rank], at) => ({ place, tied: at > 0 && placed[at - 1][1] === rank }));
}
