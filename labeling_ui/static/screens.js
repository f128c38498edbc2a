/** The screens around the work: consent, comprehension check, break, and the ends that there are. */

import { button, count, el, heading, pane } from "./dom.js";
import { Lost } from "./net.js";

/** What to read and agree to. */
export function consent(app, turn) {
  // They may be newer than those that came when the page was opened.
  app.guidelines = turn.guidelines;
  const agree = button("I have read this and agree", () => app.act("/api/consent", { version: turn.version }, ""), { class: "primary" });
  return {
    node: el(
      "div",
      { class: "reading" },
      heading(turn.changed ? "Before you go on" : "Before you begin"),
      Boolean(turn.changed) && el("p", { class: "changed", role: "status" }, turn.changed),
      pane(turn.consent),
      el("h3", {}, "Guidelines"),
      pane(turn.guidelines),
      el("div", { class: "actions" }, agree),
    ),
    keys: [],
  };
}

/** Questions on the guidelines, which stand beside them. */
export function check(app, turn) {
  const taken = turn.questions.map(() => null);
  const wrong = turn.wrong.length
    ? el("p", { class: "wrong", role: "alert" }, `Not right yet: ${turn.wrong.length > 1 ? "questions" : "question"} ${turn.wrong.join(", ")}. Read the guidelines again.`)
    : null;
  const hint = el("p", { class: "muted", id: "check-hint" });
  const send = button("Send the answers", () => submit(), { class: "primary", "aria-describedby": "check-hint" });
  const refresh = () => {
    const left = taken.filter((each) => each === null).length;
    hint.textContent = left ? `${count(left, "question")} left.` : "";
    send.setAttribute("aria-disabled", String(left > 0));
  };
  const submit = async () => {
    if (taken.includes(null)) return app.announce(hint.textContent);
    send.disabled = true;
    await app.tried(() => tryOnce(app, taken, turn.tries_left));
    send.disabled = false;
  };
  const questions = turn.questions.map((question, at) => {
    const take = (number) => {
      taken[at] = number;
      refresh();
    };
    return asked(question, at, turn.wrong.includes(at + 1), take);
  });
  refresh();
  const tries = `Answer ${count(questions.length, "question")} on the guidelines. You have ${count(turn.tries_left, "try", "tries")}${turn.wrong.length ? " left" : ""}.`;
  const form = el("div", { class: "questions" }, el("p", {}, tries), wrong, ...questions, el("div", { class: "actions" }, send, hint));
  const guidelines = el("section", { class: "beside", "aria-label": "Guidelines" }, el("h3", {}, "Guidelines"), pane(turn.guidelines));
  return { node: el("div", { class: "check" }, heading("A few questions"), el("div", { class: "columns" }, form, guidelines)), keys: [] };
}

/** Send a try one time: one whose answer got lost on the way back may count, and is looked for before another. */
async function tryOnce(app, answers, triesLeft) {
  for (;;) {
    try {
      return await app.server.once("POST", "/api/check", { answers });
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
    }
    const turn = await app.server.get("/api/turn");
    if (turn.step !== "check" || turn.tries_left !== triesLeft) return turn;
  }
}

function asked({ html, options }, at, wrong, take) {
  const rows = options.map((option, number) => {
    const input = el("input", { type: "radio", name: `question-${at}`, change: () => take(number + 1) });
    return el("label", { class: "option" }, input, pane(option, { class: "line" }));
  });
  const legend = el("legend", {}, el("span", { class: "number" }, `${at + 1}`), pane(html), wrong && el("span", { class: "wrong" }, "Not right yet"));
  return el("fieldset", {}, legend, ...rows);
}

/** A break: the item waits, and its time does not run. */
export function onBreak(app) {
  const resume = () => app.act("/api/break", { on: false }, "Welcome back.");
  return {
    node: message(
      "Time stands still",
      ["You are on a break. What you have in hand waits for an hour, with all that you have written, and the time for it does not run."],
      button("Go on", resume, { keys: "P", class: "primary" }),
    ),
    keys: [{ keys: ["P", "Enter"], what: "end the break", run: resume }],
  };
}

/** The check or the qualification was not passed. */
export function failed() {
  const texts = [
    "Thank you for your time. Your answers to the questions or to the first items do not match what this study needs, so that it ends here for you.",
    "This says nothing about you: tastes and readings differ. If you think that something went wrong, write to the people who run the study.",
  ];
  return { node: message("This study ends here for you", texts), keys: [] };
}

/** Somebody of the study has paused this annotator. */
export function paused(app) {
  const texts = ["Your work is kept, and so is what you have earned with it. Write to the people who run the study if you do not know why."];
  return { node: message("You are paused", texts, button("Look again", () => app.reload(""), { class: "primary" })), keys: [] };
}

/** The server has come to know more than the page that is open. */
export function unknown() {
  const reload = button("Reload the page", () => location.reload(), { class: "primary" });
  return { node: message("This page is out of date", ["Your work is kept. Reload the page to go on."], reload), keys: [] };
}

/** Nothing is left. */
export function done(app, turn) {
  const again = button("Look for more items", () => app.reload(""), { class: "quiet" });
  const { done: answered } = turn.progress;
  if (!turn.code) {
    const texts = ["Others have labelled everything already, or are at it. There is no completion code for this: please return the submission, or look again later."];
    return { node: message("There is nothing for you to label now", texts, again), keys: [] };
  }
  const code = el("output", { class: "code" }, turn.code);
  const copy = button("Copy the code", () => copied(app, code));
  const url = turn.url && el("a", { class: "primary", href: turn.url, rel: "noreferrer" }, "Finish on Prolific");
  const texts = [
    `You have answered ${count(answered, "item")}. Everything is saved.`,
    turn.url ? "Finish on Prolific, or enter this code there:" : "This is your completion code:",
  ];
  return { node: message("Thank you", texts, el("div", { class: "code-row" }, code, copy), url, again), keys: [] };
}

function message(title, texts, ...actions) {
  return el("div", { class: "message-screen" }, heading(title), ...texts.map((text) => el("p", {}, text)), el("div", { class: "actions" }, ...actions));
}

/** Copy a code, or select it where the browser does not let pages copy (addresses without https). */
async function copied(app, code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    app.announce("The code is copied.", { shown: true });
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    document.getSelection().selectAllChildren(code);
    app.announce("The code is selected: press Ctrl+C to copy it.", { shown: true });
  }
}
