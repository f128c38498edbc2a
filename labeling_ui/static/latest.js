/** The latest answers: a list of those that can still be changed. */

import { openDialog } from "./dialogs.js";
import { button, el, pane } from "./dom.js";
import { rankingInWords } from "./ranking.js";
import { ratingInWords } from "./rating.js";
import { comparisonInWords } from "./scale.js";

const WORDS = { comparison: comparisonInWords, ranking: rankingInWords, rating: ratingInWords };

/**
 * Open the list.
 * @param {Element} root of the page
 * @param {{answers: object[], most: number}} latest what the server says can be changed
 * @param {function(string)} choose takes the lease of the answer that is to be changed
 */
export function showLatest(root, { answers, most }, choose) {
  const text = answers.length
    ? `The last one first. The latest ${most} can be changed.`
    : "You have not answered anything yet.";
  const rows = answers.map((each) =>
    el(
      "li",
      {},
      pane(each.about || "(no request)", { class: "about" }),
      el("p", { class: "muted" }, WORDS[each.task](each.answer)),
      button("Change", () => {
        dialog.close();
        choose(each.lease);
      }),
    ),
  );
  const dialog = openDialog(root, "Latest answers", el("p", {}, text), el("ol", { class: "latest" }, ...rows));
}
