/** What an annotator may add to an answer: criteria of a comparison, quick reasons, and words of their own. */

import { choices } from "./choices.js";
import { button, el } from "./dom.js";
import { levelsRow, meanings } from "./rating.js";

const LONGEST = 20_000;

/** Single criteria of a comparison, compared or rated; none has to be answered. */
export function criteria(item, state, page) {
  if (item.task !== "comparison" || !item.criteria.length) return null;
  const answer = item.rates ? rated : compared;
  const rows = item.criteria.map((criterion) => {
    const { name, description } = criterion;
    return el("div", { class: "criterion" }, el("h3", {}, name), el("p", {}, description), ...answer(criterion, item, state, page));
  });
  const open = [state.criteria, ...Object.values(state.ratings)].some((said) => Object.keys(said).length > 0);
  const title = item.rates ? "Rate by criterion " : "Compare by criterion ";
  return el("details", { class: "criteria", open }, el("summary", {}, title, el("span", { class: "muted" }, "optional")), ...rows);
}

function compared({ name }, item, state, { changed, announce }) {
  const options = [
    { value: "first", label: "Response 1" },
    { value: "tie", label: "Tie" },
    { value: "second", label: "Response 2" },
  ];
  const pick = (value) => {
    if (value) state.criteria[name] = value;
    else delete state.criteria[name];
    announce(`${name}: ${options.find((option) => option.value === value)?.label ?? "no answer"}`);
    changed();
  };
  return [choices(name, options, { value: state.criteria[name], pick, clears: true, class: "three" }).node];
}

function rated(criterion, item, state, { changed, announce }) {
  const rows = ["1", "2"].map((place) => {
    const who = `Response ${place}`;
    const pick = (value) => {
      const said = (state.ratings[place] ??= {});
      if (value === null) delete said[criterion.name];
      else said[criterion.name] = Number(value);
      announce(`${criterion.name}, ${who}: ${value ?? "no answer"}`);
      changed();
    };
    const value = state.ratings[place]?.[criterion.name];
    const row = levelsRow(`${criterion.name}, ${who}`, criterion, item.scale, { value: value?.toString(), pick, clears: true });
    return el("div", { class: "rated" }, el("span", { "aria-hidden": "true" }, who), row.node);
  });
  return [...rows, meanings(criterion)];
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
