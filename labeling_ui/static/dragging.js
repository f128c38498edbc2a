/**
 * Dragging a row of a list to another place of it, with mouse, pen or finger; what stands outside can be dragged in.
 *
 * The frame around the list has the pointer, so that rows may be drawn anew meanwhile. Who uses keys or a screen reader
 * has other ways: nothing here can be focused.
 */

import { el } from "./dom.js";

/** Pixels: whoever moves less has clicked. */
const SLACK = 4;
/** Pixels from the edge of the window at which it scrolls, and how far it does for each picture. */
const EDGE = 72;
const SCROLL = 9;

export class Dragging {
  /**
   * @param {HTMLElement} frame around the list and what can be dragged into it
   * @param {HTMLElement} list its rows have `data-place`
   * @param {{drop: function(string, number), stays: function(string)}} told what is dropped where, and what is not
   */
  constructor(frame, list, told) {
    Object.assign(this, { frame, list, told, held: null });
    this.line = el("li", { class: "landing", "aria-hidden": "true" });
    this.escape = (event) => this.#escaped(event);
    frame.addEventListener("pointermove", (event) => this.#moved(event));
    frame.addEventListener("pointerup", (event) => this.#released(event));
    frame.addEventListener("pointercancel", (event) => this.#isHeld(event) && this.cancel());
    // What a finger touched first loses the pointer to the frame, which is no end.
    frame.addEventListener("lostpointercapture", (event) => event.target === frame && this.#isHeld(event) && this.cancel());
  }

  /** Take hold of a row, or of what is no row yet: that lands only where it is dragged down to the list. */
  grab(event, place, node) {
    if (event.button !== 0 || !event.isPrimary || this.held) return;
    const { clientX: x, clientY: y, pointerId: id } = event;
    this.held = { place, node, id, x, y, page: scrollY, from: this.#rows().indexOf(node), below: node.getBoundingClientRect().bottom + scrollY, begun: false };
  }

  /** Leave everything where it was. */
  cancel() {
    const { place, begun } = this.held ?? {};
    this.#letGo();
    if (begun) this.told.stays(place);
  }

  #moved(event) {
    if (!this.#isHeld(event)) return;
    const { held } = this;
    // A button that was let go where nobody saw it.
    if (event.buttons === 0) return this.cancel();
    Object.assign(held, { nowX: event.clientX, nowY: event.clientY });
    if (!held.begun && Math.hypot(held.nowX - held.x, held.nowY - held.y) < SLACK) return;
    if (!held.begun) this.#begin();
    this.#follow();
  }

  #begin() {
    const { held } = this;
    held.begun = true;
    this.frame.setPointerCapture(held.id);
    held.node.classList.add("dragged");
    document.addEventListener("keydown", this.escape, true);
    const turn = () => {
      if (this.held !== held) return;
      this.#scroll();
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  }

  #released(event) {
    if (!this.#isHeld(event)) return;
    const { place, begun } = this.held;
    const to = begun ? this.#landing() : null;
    if (to === null) return this.cancel();
    this.#letGo();
    this.told.drop(place, to);
  }

  #escaped(event) {
    if (event.key !== "Escape") return;
    // Nothing else that Escape does is meant.
    event.preventDefault();
    event.stopPropagation();
    this.cancel();
  }

  #letGo() {
    const { held } = this;
    if (!held) return;
    this.held = null;
    this.line.remove();
    held.node.classList.remove("dragged");
    held.node.style.translate = "";
    document.removeEventListener("keydown", this.escape, true);
    if (this.frame.hasPointerCapture(held.id)) this.frame.releasePointerCapture(held.id);
  }

  #isHeld(event) {
    return this.held?.id === event.pointerId;
  }

  #rows() {
    return [...this.list.querySelectorAll("[data-place]")];
  }

  /** Let what is held follow the pointer, and show where it would land. */
  #follow() {
    const { held } = this;
    const down = held.nowY + scrollY - held.y - held.page;
    held.node.style.translate = `${held.from < 0 ? held.nowX - held.x : 0}px ${down}px`;
    const to = this.#landing();
    if (to === null) return this.line.remove();
    this.line.style.top = `${this.#edge(held.from >= 0 && to > held.from ? to + 1 : to)}px`;
    if (!this.line.isConnected) this.list.append(this.line);
  }

  /** Return which row it would be; null where it would be none. */
  #landing() {
    const { held } = this;
    if (held.from < 0 && held.nowY + scrollY < held.below) return null;
    const y = held.nowY - this.list.getBoundingClientRect().top;
    return this.#rows().filter((row) => row !== held.node && row.offsetTop + row.offsetHeight / 2 < y).length;
  }

  /** Return where the upper edge of a row is in the list: in the middle between it and the row above. */
  #edge(at) {
    const rows = this.#rows();
    const above = rows[at - 1] ? rows[at - 1].offsetTop + rows[at - 1].offsetHeight : 0;
    return rows[at] && rows[at - 1] ? (above + rows[at].offsetTop) / 2 : above;
  }

  #scroll() {
    const { nowY } = this.held;
    const bottom = document.querySelector("#work .dock")?.getBoundingClientRect().top ?? innerHeight;
    const step = nowY < EDGE ? -SCROLL : nowY > Math.min(bottom, innerHeight) - EDGE / 2 ? SCROLL : 0;
    if (!step) return;
    const before = scrollY;
    scrollBy(0, step);
    if (scrollY !== before) this.#follow();
  }
}
