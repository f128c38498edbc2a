/**
 * The keyboard: one listener, and the overlay that says what it listens to.
 *
 * Single letters act only where nobody writes, only once per press, and never together with Ctrl, Alt or Meta,
 * which belong to the browser and to screen readers.
 */

import { dialogOpen, openDialog } from "./dialogs.js";
import { el } from "./dom.js";

/**
 * @typedef {object} Binding
 * @property {string[]} keys names of keys, letters in upper case
 * @property {string} what what they do, for the overlay
 * @property {function(string)} run takes the key that was pressed
 */

/**
 * Listen to the keyboard.
 * @param {Element} root of the page
 * @param {() => Binding[]} bindings what keys do now
 */
export function listen(root, bindings) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.repeat || event.isComposing || dialogOpen(root)) return;
    const key = event.target.closest("input, textarea, select, [contenteditable]") ? whileWriting(event) : pressed(event);
    const binding = key && bindings().find((each) => each.keys.includes(key));
    if (!binding) return;
    event.preventDefault();
    binding.run(key);
  });
}

/** Say what the keys do. */
export function showKeys(root, bindings) {
  const rows = bindings.map(({ keys, what }) =>
    el("div", { class: "key-row" }, el("dt", {}, ...shownKeys(keys)), el("dd", {}, what)),
  );
  const writing = "In a text box: Ctrl+Enter submits, Esc leaves the box. In a dialog: Esc closes it.";
  openDialog(root, "Keys", el("dl", { class: "keys" }, ...rows), el("p", { class: "muted" }, writing));
}

function shownKeys(keys) {
  const digits = keys.filter((key) => /^\d$/.test(key));
  const shown = digits.length > 1 ? [`${digits[0]} – ${digits.at(-1)}`, ...keys.filter((key) => !digits.includes(key))] : keys;
  return shown.flatMap((key, at) => [at > 0 && " ", el("kbd", {}, key)]);
}

/** Return what a key means in a text box: almost nothing. */
function whileWriting(event) {
  if (event.key === "Escape") event.target.blur();
  return event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea") ? "Enter" : null;
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  if (event.key === "?") return "?";
  if (event.shiftKey) return null;
  if (event.key === "Enter") return ownsEnter(event.target) ? null : "Enter";
  if (/^[a-z0-9]$/i.test(event.key)) return event.key.toUpperCase();
  // Other alphabets, and layouts on which digits need Shift: the key's place decides.
  return /^(?:Key|Digit)([A-Z0-9])$/.exec(event.code)?.[1] ?? null;
}

/** Tell whether Enter belongs to what has the focus; on a radio button it sends the form, as everywhere. */
function ownsEnter(target) {
  return target.closest("button:not([role=radio]), a[href], summary") !== null;
}
