/**
 * Building the page: elements with text, never with markup of strangers.
 *
 * The server renders what strangers wrote to HTML that cannot act; `pane` is the only place that shows such HTML.
 */

/**
 * Make an element.
 * @param {string} tag its name
 * @param {object} attributes values of attributes; functions listen to the event that they are named after
 * @param {...(Node|string|null|false)} children text and elements; null and false are left out
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== false && child !== undefined));
  return node;
}

/** Make a button. `keys` are shown on it and told to screen readers. */
export function button(text, click, { keys, ...attributes } = {}) {
  const hint = keys && el("kbd", { "aria-hidden": "true" }, keys);
  return el("button", { type: "button", "aria-keyshortcuts": keys, click, ...attributes }, text, hint);
}

/** Show HTML that the server made; what it holds stays inside. */
export function pane(html, attributes = {}) {
  const node = el("div", { ...attributes, class: `pane ${attributes.class ?? ""}`.trim() });
  node.innerHTML = html;
  return node;
}

/** Make the heading of a screen, which takes the focus when the screen appears. */
export function heading(text) {
  return el("h2", { tabindex: "-1", class: "screen-heading" }, text);
}

/** Say a duration as people do: "40 s", "12 min", "2 h 5 min". */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Say a number of things: "1 try", "2 tries". */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}
