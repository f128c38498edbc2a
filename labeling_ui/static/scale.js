/** Comparing two responses: seven equal cells from one to the other, and two ways to say that neither fits. */

import { choices } from "./choices.js";

/** What each cell says: key, label, what a screen reader says, choice and strength of the answer. */
const CELLS = [
  ["1", "much better", "Response 1 much better", "first", 3],
  ["2", "better", "Response 1 better", "first", 2],
  ["3", "slightly better", "Response 1 slightly better", "first", 1],
  ["4", "equally good", "equally good", "tie", null],
  ["5", "slightly better", "Response 2 slightly better", "second", 1],
  ["6", "better", "Response 2 better", "second", 2],
  ["7", "much better", "Response 2 much better", "second", 3],
  ["B", "both bad", "both bad", "both_bad", null],
  ["C", "cannot judge", "cannot judge", null, null],
];

/** Return what an answer says, in words. */
export function comparisonInWords(answer) {
  return CELLS[at(answer)]?.[2] ?? "no answer";
}

/**
 * The part of the page on which two responses are compared.
 * @param {object} item what is labelled
 * @param {object} state of the answer; `choice` is missing until something is chosen
 * @param {{changed: function(), announce: function(string)}} page to be told
 */
export function comparison(item, state, { changed, announce }) {
  const options = CELLS.map(([key, label, name]) => ({ value: key, label, name, key, class: classOf(key) }));
  const pick = (key) => {
    const [, , name, choice, strength] = CELLS.find((each) => each[0] === key);
    Object.assign(state, { choice, strength });
    announce(name);
    changed();
  };
  const row = choices("Which response is better?", options, { value: CELLS[at(state)]?.[0], pick, class: "scale" });
  const keys = [
    { keys: CELLS.slice(0, 7).map(([key]) => key), what: "choose: 1 Response 1 much better … 7 Response 2 much better" },
    { keys: ["B"], what: "both bad" },
    { keys: ["C"], what: "cannot judge" },
  ].map((each) => ({
    ...each,
    run: (key) => {
      row.set(key);
      row.focus();
      pick(key);
    },
  }));
  return {
    control: row.node,
    keys,
    missing: () => (state.choice === undefined ? "Choose an answer first." : ""),
    answer: () => {
      const { choice, strength, criteria, ratings } = state;
      return { task: "comparison", choice, strength, criteria, ratings };
    },
    preferred: () => ({ first: "1", second: "2" })[state.choice],
  };
}

function at(answer) {
  return CELLS.findIndex((each) => each[3] === answer.choice && each[4] === (answer.strength ?? null));
}

function classOf(key) {
  return /\d/.test(key) ? "" : "other";
}
