/** What an annotator may add to an answer: criteria of a comparison, quick reasons, and words of their own. */

import { choices } from "./choices.js";
import { button, el } from "./dom.js";

const LONGEST = 20_000;

/** Single criteria of a comparison; none has to be answered. */
export function criteria(item, state, { changed, announce }) {
  if (item.task !== "comparison" || !item.criteria.length) return null;
  const options = [
    { value: "first", label: "Response 1" },
    { value: "tie", label: "Tie" },
    { value: "second", label: "Response 2" },
  ];
  const rows = item.criteria.map(({ name, description }) => {
    const pick = (value) => {
      if (value) state.criteria[name] = value;
      else delete state.criteria[name];
      announce(`${name}: ${options.find((option) => option.value === value)?.label ?? "no answer"}`);
      changed();
    };
    const row = choices(name, options, { value: state.criteria[name], pick, clears: true, class: "three" });
    return el("div", { class: "criterion" }, el("h3", {}, name), el("p", {}, description), row.node);
  });
  const open = Object.keys(state.criteria).length > 0;
  return el("details", { class: "criteria", open }, el("summary", {}, "Compare by criterion ", el("span", { class: "muted" }, "optional")), ...rows);
}

/** Quick reasons. */
export function reasons(item, state, changed) {
  if (!item.reasons.length) return null;
  const chips = item.reasons.map((reason) => {
    const chip = button(reason, () => {
      const ticked = state.reasons.includes(reason);
      state.reasons = ticked ? state.reasons.filter((each) => each !== reason) : [...state.reasons, reason];
      chip.setAttribute("aria-pressed", String(!ticked));
      changed();
    }, { class: "chip", "aria-pressed": String(state.reasons.includes(reason)) });
    return chip;
  });
  return el("div", { class: "reasons", role: "group", "aria-label": "Quick reasons" }, ...chips);
}

/** Words of the annotator's own. */
export function rationale(state, changed) {
  const box = el("textarea", { id: "rationale", rows: "3", maxlength: String(LONGEST), dir: "auto" });
  box.value = state.rationale;
  box.addEventListener("input", () => {
    state.rationale = box.value;
    changed();
  });
  const label = el("label", { for: "rationale" }, "Why? ", el("span", { class: "muted" }, "optional"));
  return { node: el("div", { class: "rationale" }, label, box), box };
}
