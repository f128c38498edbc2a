/** Rating one response: a row of values for each criterion, with what the levels mean beside it. */

import { choices } from "./choices.js";
import { count, el } from "./dom.js";

const MOST_CELLS = 11;
const UNKNOWN = "none";

/** Return what an answer says, in words. */
export function ratingInWords(answer) {
  const said = Object.entries(answer.ratings).map(([name, value]) => `${name} ${value ?? "not judged"}`);
  return said.join(", ") || "no answer";
}

/**
 * The part of the page on which a response is rated.
 * @param {object} item what is labelled
 * @param {object} state of the answer; `ratings` holds what is answered so far, null for what cannot be judged
 * @param {{changed: function(), announce: function(string)}} page to be told
 */
export function rating(item, state, { changed, announce }) {
  const rate = (name, value) => {
    state.ratings[name] = value;
    announce(`${name}: ${value ?? "cannot judge"}`);
    changed();
  };
  const rows = item.criteria.map((criterion) => new Row(criterion, item.scale, state.ratings[criterion.name], rate));
  const left = () => rows.filter((row) => !(row.name in state.ratings));
  const current = () => rows.find((row) => row.node.contains(document.activeElement)) ?? left()[0] ?? rows[0];
  const values = levels(item.scale).map(String);
  return {
    control: null,
    section: el("section", { class: "ratings", "aria-label": "Ratings" }, ...rows.map((row) => row.node)),
    keys: [
      { keys: values.filter((value) => /^\d$/.test(value)), what: "rate the criterion that is marked, and go to the next", run: (key) => current().take(key, left) },
      { keys: ["C"], what: "cannot judge the criterion that is marked", run: () => current().take(UNKNOWN, left) },
    ].filter((each) => each.keys.length),
    missing: () => (left().length ? `${count(left().length, "criterion", "criteria")} to go.` : ""),
    answer: () => ({ task: "rating", ratings: state.ratings }),
    preferred: () => "1",
  };
}

class Row {
  constructor(criterion, scale, value, rate) {
    this.name = criterion.name;
    this.pick = (key) => rate(this.name, key === UNKNOWN ? null : Number(key));
    const shown = value === undefined ? undefined : value === null ? UNKNOWN : String(value);
    const unknown = { value: UNKNOWN, label: "cannot judge", class: "other" };
    this.row = levelsRow(this.name, criterion, scale, { value: shown, pick: this.pick }, [unknown]);
    const title = el("h3", {}, this.name);
    this.node = el("div", { class: "criterion" }, title, el("p", {}, criterion.description), this.row.node, meanings(criterion));
  }

  /** Take a value by key, and move on to the next criterion that has none. */
  take(key, left) {
    this.row.set(key);
    this.pick(key);
    const next = left()[0];
    (next ?? this).node.querySelector("[tabindex='0']").focus();
  }
}

/** Make a row of the values of a criterion, and what else may be said; see `choices`. */
export function levelsRow(label, criterion, scale, how, more = []) {
  const options = levels(scale).map((level) => ({ value: String(level), label: String(level), name: named(level, criterion) }));
  const row = choices(label, [...options, ...more], { ...how, class: "levels" });
  row.node.style.setProperty("--levels", String(options.length));
  return row;
}

/** Return the values that can be taken: whole steps, or eleven where there would be too many. */
function levels([low, high]) {
  const steps = Number.isInteger(high - low) && high - low < MOST_CELLS ? high - low : MOST_CELLS - 1;
  return Array.from({ length: steps + 1 }, (_, at) => Number((low + ((high - low) * at) / steps).toPrecision(6)));
}

function named(level, criterion) {
  const meaning = criterion.anchors[String(level)];
  return meaning ? `${level}: ${meaning}` : String(level);
}

/** Say what the levels of a criterion mean. */
export function meanings(criterion) {
  const rows = Object.entries(criterion.anchors).sort(([a], [b]) => Number(a) - Number(b));
  return el("dl", { class: "anchors" }, ...rows.map(([at, what]) => el("div", {}, el("dt", {}, at), el("dd", {}, what))));
}
