/**
 * A row of choices of which one is taken: radio buttons for keyboards and screen readers, cells to look at.
 *
 * Built of buttons, since a native radio button swallows the digits and letters that choose and send.
 */

import { el } from "./dom.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/**
 * @typedef {object} Option
 * @property {string} value what is taken
 * @property {string} label what is shown
 * @property {string} [name] what a screen reader says, where the label alone says too little
 * @property {string} [key] the key that takes it
 * @property {string} [class] of its cell
 */

/**
 * Make a row of choices.
 * @param {string} label of all of them
 * @param {Option[]} options to choose from
 * @param {{value: ?string, pick: function(?string), clears: boolean, class: string}} how what is taken now, what to
 *   do when that changes, and whether the taken one can be let go
 * @returns {{node: Element, set: function(?string), focus: function()}} the row, and ways to show another choice and to
 *   put the focus on it
 */
export function choices(label, options, { value, pick, clears = false, ...attributes }) {
  const cells = options.map((option) => cell(option, () => take(option.value)));
  const node = el("div", { role: "radiogroup", "aria-label": label, keydown: move, ...attributes }, ...cells);
  let taken = value;

  function take(wanted) {
    set(clears && wanted === taken ? null : wanted);
    pick(taken);
  }

  function set(wanted) {
    taken = wanted ?? null;
    const at = options.findIndex((option) => option.value === taken);
    cells.forEach((each, index) => {
      each.setAttribute("aria-checked", String(index === at));
      each.tabIndex = index === Math.max(at, 0) ? 0 : -1;
    });
  }

  function move(event) {
    const step = STEPS[event.key];
    const from = cells.indexOf(document.activeElement);
    if (!step || from < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = (from + step + cells.length) % cells.length;
    cells[next].focus();
    set(options[next].value);
    pick(taken);
  }

  /** Put the focus on what is taken, wherever it was: Enter then sends it. */
  function focus() {
    cells.find((each) => each.getAttribute("aria-checked") === "true")?.focus({ preventScroll: true });
  }

  set(value);
  return { node, set, focus };
}

function cell(option, click) {
  const hint = option.key && el("kbd", { "aria-hidden": "true" }, option.key);
  const attributes = {
    type: "button",
    role: "radio",
    class: `cell ${option.class ?? ""}`.trim(),
    "aria-label": option.name ?? null,
    "aria-keyshortcuts": option.key ?? null,
    click,
  };
  return el("button", attributes, el("span", {}, option.label), hint);
}
