// What the parts of the gallery share: the job, the results loaded so far, the one that is chosen, what is selected.
import { $, h } from "/static/ui.js";

export const state = {
  job: null,
  items: [],
  next: null,
  complete: true, // true until the list is started, so that drawing before the job is known requests nothing
  loading: null,
  chosen: 0,
  descending: false,
  classes: [],
  selected: new Map(), // row: item
  all: false, // everything that matches, also what is not loaded
};

export const options = (list) => list.map(([value, text]) => h("option", { value }, text));
export const ended = (one) => ["succeeded", "partial", "failed", "cancelled"].includes(one.state);
export const shortName = (item) => item.key.split("/").pop();

// The class named in the box: its index, null for an empty box, -1 for a name that is not (yet) that of a class.
export function predictedClass() {
  const wanted = $("prediction").value.trim().toLowerCase();
  if (!wanted) return null;
  const index = state.classes.findIndex((name) => name.toLowerCase() === wanted);
  if (index >= 0 || !/^\d{1,9}$/.test(wanted)) return index;
  return state.classes.length && Number(wanted) >= state.classes.length ? -1 : Number(wanted);
}
