/**
 * Passages of a text that is shown: between selections, offsets and sentences.
 *
 * Offsets count characters as the server does (code points, where JavaScript counts UTF-16 units) in the whole
 * text of a pane; marks of emphasis are no part of it.
 */

const LONGEST = 5000;

/** A passage of a pane, in UTF-16 units of its text. */
export class Passage {
  constructor(pane, start, end) {
    const text = pane.textContent.slice(start, end);
    this.pane = pane;
    this.start = start + (text.length - text.trimStart().length);
    this.quote = text.trim();
    this.end = this.start + this.quote.length;
  }

  /** Return the passage that is selected in a pane, or null. */
  static selected(pane) {
    const selection = document.getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    if (!range.intersectsNode(pane)) return null;
    const start = pane.contains(range.startContainer) ? lengthBefore(pane, range.startContainer, range.startOffset) : 0;
    const inside = pane.contains(range.endContainer);
    const end = inside ? lengthBefore(pane, range.endContainer, range.endOffset) : pane.textContent.length;
    const passage = new Passage(pane, start, end);
    return passage.quote ? passage : null;
  }

  get tooLong() {
    return points(this.quote) > LONGEST;
  }

  /** Return what is stored of it. */
  span(response, sign, note) {
    const start = points(this.pane.textContent.slice(0, this.start));
    return { response, start, end: start + points(this.quote), quote: this.quote, sign, note };
  }

  range() {
    return rangeOf(this.pane, this.start, this.end);
  }
}

/** Return the range of a stored span in its pane. */
export function rangeOfSpan(pane, { start, end }) {
  const letters = Array.from(pane.textContent);
  const from = letters.slice(0, start).join("").length;
  return rangeOf(pane, from, from + letters.slice(start, end).join("").length);
}

/** Return the sentences of a pane, as passages. */
export function sentences(pane) {
  const parts = new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(pane.textContent);
  const found = Array.from(parts, ({ index, segment }) => new Passage(pane, index, index + segment.length));
  return found.filter((passage) => passage.quote);
}

function rangeOf(pane, start, end) {
  const range = document.createRange();
  range.setStart(...place(pane, start, false));
  range.setEnd(...place(pane, end, true));
  return range;
}

/** Return the text node and offset at which a length of text ends; at a border the earlier node, if it is the end. */
function place(pane, length, asEnd) {
  const texts = document.createTreeWalker(pane, NodeFilter.SHOW_TEXT);
  let left = length;
  let node = null;
  while (texts.nextNode()) {
    node = texts.currentNode;
    if (left < node.length || (asEnd && left === node.length)) return [node, left];
    left -= node.length;
  }
  return node ? [node, node.length] : [pane, 0];
}

function lengthBefore(pane, node, offset) {
  const range = document.createRange();
  range.setStart(pane, 0);
  range.setEnd(node, offset);
  return range.toString().length;
}

function points(text) {
  return Array.from(text).length;
}
