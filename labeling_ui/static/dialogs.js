/**
 * Dialogs over the page. The browser's own: it keeps the focus inside, closes them with Esc, and gives the focus back.
 */

import { button, el } from "./dom.js";

let dialogs = 0;

/**
 * Open a dialog; it removes itself when it closes.
 * @param {Element} root of the page
 * @param {string} title its heading
 * @param {...(Node|string)} body what it holds
 */
export function openDialog(root, title, ...body) {
  const id = `dialog-${(dialogs += 1)}`;
  const close = button("Close", () => dialog.close(), { class: "quiet" });
  const head = el("div", { class: "dialog-head" }, el("h2", { id }, title), close);
  const dialog = el("dialog", { "aria-labelledby": id, close: () => dialog.remove() }, head, ...body);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  root.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something that cannot be taken back; resolves to whether it is wanted. */
export function confirm(root, title, text, { yes, no }) {
  return new Promise((resolve) => {
    let wanted = false;
    const agree = () => {
      wanted = true;
      dialog.close();
    };
    const first = button(yes, agree, { class: "primary", autofocus: true });
    const actions = el("div", { class: "actions" }, first, button(no, () => dialog.close()));
    const dialog = openDialog(root, title, el("p", {}, text), actions);
    dialog.addEventListener("close", () => resolve(wanted));
  });
}

/** Tell whether a dialog stands over the page. */
export function dialogOpen(root) {
  return root.querySelector("dialog[open]") !== null;
}
