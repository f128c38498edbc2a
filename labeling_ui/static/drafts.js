/**
 * Answers that are not finished: kept in this browser at once, and on the server when there is text to lose.
 *
 * Whichever copy is newer comes back after a reload, on another device, or after a crash.
 */

import { Lost, Refused } from "./net.js";

const PREFIX = "rewardkit.draft.";
const PAUSE = 2000;
const KEPT_FOR = 14 * 24 * 3600 * 1000;

export class Draft {
  /**
   * @param {import("./net.js").Server} server keeps a copy
   * @param {string} lease what the draft belongs to
   * @param {{remote: boolean, said: function(string)}} options whether the server keeps one too; is told where it is
   */
  constructor(server, lease, { remote, said }) {
    Object.assign(this, { server, lease, remote, said, timer: null, waiting: null, sent: false, local: true });
  }

  /** Return the newer one of what this browser and the server have kept, or null. */
  newest(fromServer) {
    const here = stored(PREFIX + this.lease);
    const there = fromServer?.state ? fromServer : null;
    if (!here || !there) return (here ?? there)?.state ?? null;
    return (here.at >= there.at ? here : there).state;
  }

  /** Keep the state of an answer. */
  keep(state) {
    const draft = { at: Date.now(), state };
    this.local = store(PREFIX + this.lease, draft);
    if (!this.remote || !(worthSending(state) || this.sent || !this.local)) return;
    this.waiting = draft;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), PAUSE);
  }

  /** Send what the server does not have yet. */
  async flush() {
    clearTimeout(this.timer);
    const draft = this.waiting;
    if (!draft) return;
    this.waiting = null;
    try {
      await this.server.once("POST", "/api/draft", { lease: this.lease, draft });
      this.sent = true;
      this.said("Draft saved");
    } catch (error) {
      if (!(error instanceof Lost || error instanceof Refused)) throw error;
      this.said(this.local ? "Draft kept in this browser" : `Draft not saved: ${error.message}`);
      if (error instanceof Lost && !this.waiting) this.#later(draft);
    }
  }

  /** Forget the draft: it was sent, or is not wanted. */
  drop() {
    clearTimeout(this.timer);
    this.waiting = null;
    this.remote = false;
    forget(PREFIX + this.lease);
  }

  #later(draft) {
    if (!this.remote) return;
    this.waiting = draft;
    this.timer = setTimeout(() => this.flush(), 4 * PAUSE);
  }
}

/** Remove what was begun long ago and never came back. */
export function removeOld() {
  for (const key of storedKeys()) {
    const draft = stored(key);
    if (!draft || Date.now() - draft.at > KEPT_FOR) forget(key);
  }
}

function worthSending(state) {
  return Boolean(state.rationale || state.spans.length || Object.keys(state.edits).length);
}

/** Write to this browser's memory; false where it has none to give (private windows, a full disk). */
function store(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch (error) {
    if (error instanceof DOMException) return false;
    throw error;
  }
}

function forget(key) {
  try {
    localStorage.removeItem(key);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

function stored(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch (error) {
    // Another page of this address may have written there; no memory at all is the same as nothing kept.
    if (error instanceof SyntaxError || error instanceof DOMException) return null;
    throw error;
  }
}

function storedKeys() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  } catch (error) {
    if (error instanceof DOMException) return [];
    throw error;
  }
}
