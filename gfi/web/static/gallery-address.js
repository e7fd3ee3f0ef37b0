// The filters of the gallery and its address: every filter and order can be sent as a link.
import { $, h, words } from "/static/ui.js";
import { predictedClass, state } from "/static/gallery-state.js";

const CHIPS = ["target", "target_rank", "finding", "differs_from", "comparison", "rows", "error_class", "carried", "method"]; // filters without a box
const DISPLAY = ["view", "compare"];
let chips = []; // [name, value] of filters of the address that have no box
let linked = null; // the one image that a link opens
let compared = ""; // the job of the address to compare with, until the jobs are known
let unread = null; // the prediction of the address, until the classes are known

export const linkedRow = () => linked;
export const comparedJob = () => compared;
export const unlink = () => { linked = null; };

// The condition on a further column of the manifest, or "".
export const condition = () => ($("column").value && $("column-value").value.trim() ? `${$("column").value}${$("column-is").value}${$("column-value").value.trim()}` : "");

// The filters and the order as the API takes them, without those that are not set.
export function query() {
  const q = new URLSearchParams();
  for (const name of ["search", "label", "flag", "status"]) if ($(name).value.trim()) q.set(name, $(name).value.trim());
  if ($("wrong").checked) q.set("wrong", "true");
  const predicted = predictedClass() ?? unread;
  if (predicted !== null) q.set("prediction", predicted);
  if (condition()) q.append("where", condition());
  if ($("flagged").checked) q.set("flagged", "true");
  const [low, high] = [$("low").value, $("high").value];
  if ($("metric").value && (low || high)) {
    q.set("metric", $("metric").value);
    if (low) q.set("at_least", low);
    if (high) q.set("at_most", high);
  }
  for (const [name, value] of chips) q.append(name, value);
  if ($("sort").value !== "row") q.set("sort", $("sort").value);
  if (state.descending) q.set("descending", "true");
  return q;
}

// The query of what is listed: a link may open one image alone, whatever the filters are.
export function listedQuery() {
  const q = query();
  return linked === null ? q : new URLSearchParams({ rows: linked, ...(q.has("target") && { target: q.get("target") }) });
}

export const isFiltered = (q = query()) => [...q.keys()].some((name) => !["sort", "descending"].includes(name));

// Puts what a query says into the boxes.
export function fillBoxes(q) {
  for (const name of ["search", "label", "status"]) $(name).value = q.get(name) ?? "";
  if (q.get("flag") && ![...$("flag").options].some(({ value }) => value === q.get("flag"))) $("flag").append(h("option", { value: q.get("flag") }, q.get("flag")));
  $("flag").value = q.get("flag") ?? "";
  $("wrong").checked = q.get("wrong") === "true";
  $("flagged").checked = q.get("flagged") === "true";
  $("sort").value = q.get("sort") || "row";
  setDirection(q.get("descending") === "true");
  $("metric").value = q.get("metric") ?? "";
  $("low").value = q.get("at_least") ?? "";
  $("high").value = q.get("at_most") ?? "";
  unread = q.get("prediction");
  if (unread !== null && state.classes.length) readPrediction();
  else if (unread === null) $("prediction").value = "";
  const where = q.getAll("where");
  chips = [...CHIPS.flatMap((name) => q.getAll(name).map((value) => [name, value])), ...(q.get("wrong") === "false" ? [["wrong", "false"]] : [])];
  $("column").value = "";
  $("column-value").value = "";
  const one = where.length === 1 && where[0].match(/^(.*?)(!=|>=|<=|=)(.+)$/s);
  if (one && [...$("column").options].some(({ value }) => value === one[1])) { $("column").value = one[1]; $("column-is").value = one[2]; $("column-value").value = one[3]; }
  else chips.push(...where.map((value) => ["where", value]));
}

// The prediction of the address is an index; the box shows the name of the class.
export function readPrediction() {
  if (unread === null) return;
  $("prediction").value = state.classes[Number(unread)] ?? unread;
  unread = null;
}

export function setDirection(descending) {
  state.descending = descending;
  $("direction").setAttribute("aria-pressed", String(descending));
  $("direction").textContent = descending ? "↓" : "↑";
}

export function readAddress() {
  const q = new URLSearchParams(location.search);
  linked = q.get("row");
  compared = q.get("compare") ?? "";
  for (const name of DISPLAY) q.delete(name);
  fillBoxes(q);
}

// The job with which the gallery compares is chosen on the page from now on.
export function readCompared() { if (compared) { compared = ""; writeAddress(); } }

export function writeAddress() {
  const q = query();
  if (linked !== null) q.set("row", linked);
  const other = $("comparison").value || compared;
  if (other && !other.startsWith("+")) q.set("compare", other);
  const text = q.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

// The filters that have no box, each with a button that removes it; and how many boxes of the folded line are set.
export function showFilters(changed) {
  const rows = chips.filter(([name]) => name === "rows");
  const shown = [...chips.filter(([name]) => name !== "rows").map((chip) => [chip, `${words(chip[0])}: ${chip[0] === "target" ? state.classes[chip[1]] ?? chip[1] : chip[1]}`]), ...(rows.length ? [[rows, `${rows.length} chosen images`]] : [])];
  $("chips").hidden = !shown.length;
  $("chips").replaceChildren(...shown.map(([which, text]) => h("button.tag", { type: "button", title: "Remove this filter", onclick: () => { chips = chips.filter((chip) => chip !== which && !(Array.isArray(which[0]) && chip[0] === "rows")); changed(); } }, `${text} ×`)));
  const folded = [$("status").value, $("prediction").value, condition(), $("flagged").checked, $("metric").value && ($("low").value || $("high").value)].filter(Boolean).length;
  $("more-tools").textContent = folded ? `Filters (${folded})` : "Filters";
}
