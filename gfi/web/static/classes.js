// The classes of a job in a table; of the chosen one the mean mask, its spread, the best and the worst images. The table can
// also be by another column: then it says what was left out of each mean.
import { $, api, count, decimal, debounce, empty, h, percent, showErrors, showPage, words } from "/static/ui.js";
import { GROUPED, fillGroups, readGroups } from "/static/classes-by-column.js";
import { better, example, galleryLink, id, job, meaning, numbers, showTitle, titleOf } from "/static/results.js";

const AT_ONCE = 100;
const parameters = new URLSearchParams(location.search);
let table = null, groups = null, columns = [], shown = AT_ONCE, chosen = null, order = "images", up = false, asked = 0;

// How many numbers fit beside the chosen class, or below 1000 px above it.
const fitting = () => (innerWidth > 1000 && innerWidth < 1500 ? 4 : 5) - (table.audit ? 1 : 0);
const filterOf = (one) => (one.label !== null ? { label: one.label } : { target: one.target });
const named = (one) => one.label !== null || one.target !== null; // otherwise images that were not predicted
const estimate = (value, format) => (value ? [format(value.mean), value.low === null ? "" : h("small", null, `${format(value.low)} – ${format(value.high)}`)] : "");
const valueOf = {
  name: (one) => one.name.toLowerCase(),
  images: (one) => one.images,
  accuracy: (one) => one.accuracy?.mean ?? null,
  coverage: (one) => one.coverage.mean,
  findings: (one) => one.findings,
};
const sortValue = (one, name) => (valueOf[name] ? valueOf[name](one) : one.means[name]?.mean ?? null);

function heading(name, text, title = "") {
  const sorted = order === name;
  const press = () => { up = sorted ? !up : name === "name"; order = name; draw(); $("classes-head").querySelector(`[data-name="${name}"]`).focus(); };
  return h(name === "name" ? "th" : "th.num", { "aria-sort": sorted ? (up ? "ascending" : "descending") : null }, h("button.quiet", { type: "button", title, "data-name": name, onclick: press }, text, sorted ? (up ? " ↑" : " ↓") : ""));
}

const CLASS_WORDS = $("explained").textContent;
const GROUP_WORDS = "Small numbers: bootstrap intervals of 95 % over images, and images without the number. Left out: images without a usable mask, by status.";

// The table by class, or by the chosen column.
async function choseColumn() {
  const by = $("by").value;
  groups = by ? await readGroups(by) : null;
  if ($("by").value !== by) return;
  $("detail").hidden = by !== "";
  $("whole").classList.toggle("alone", by !== "");
  $("explained").textContent = !by ? CLASS_WORDS : groups.intervals ? GROUP_WORDS : "There are too many results for bootstrap intervals: these are the means. Left out: images without a usable mask, by status.";
  history.replaceState(null, "", by ? `?${new URLSearchParams({ by })}` : location.pathname);
  draw();
}

function draw() {
  const search = $("search").value.trim().toLowerCase();
  if (groups) {
    $("more").hidden = true;
    showErrors(async () => { $("shown").textContent = await fillGroups($("classes-head"), $("classes"), groups, search); });
    return;
  }
  const list = table.classes.filter((one) => one.name.toLowerCase().includes(search));
  const number = (one) => sortValue(one, order);
  // Classes without the value come last, in both directions.
  list.sort((a, b) => { const [x, y] = [number(a), number(b)]; if (x === null || y === null) return (x === null) - (y === null); return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1); });
  const heads = [["name", "Class"], ["images", "Images"], ...(table.labelled ? [["accuracy", "Accuracy"]] : []), ["coverage", "Coverage"], ...(table.audit ? [["findings", "Findings"]] : []), ...columns.map((name) => [name, titleOf(name), meaning(name)])];
  $("classes-head").replaceChildren(...heads.map((head) => heading(...head)));
  const cells = {
    name: (one) => h("td", null, !named(one) ? one.name : h("button.quiet.link", { type: "button", "aria-pressed": String(one === chosen), onclick: () => choose(one, true) }, one.name)),
    images: (one) => h("td.num", null, named(one) ? h("a", { href: galleryLink(filterOf(one)) }, count(one.images)) : count(one.images)),
    accuracy: (one) => h("td.num", null, estimate(one.accuracy, percent)),
    coverage: (one) => h("td.num", null, estimate(one.coverage, percent)),
    findings: (one) => h("td.num", null, one.findings ? h("a", { href: `/audits/${table.audit}`, title: `${one.shortcuts} of them shortcuts` }, count(one.findings)) : ""),
  };
  $("classes").replaceChildren(...list.slice(0, shown).map((one) => {
    const row = h("tr", { class: one === chosen ? "chosen" : null }, ...heads.map(([name]) => (cells[name] ? cells[name](one) : h("td.num", null, estimate(one.means[name], decimal)))));
    [...row.cells].forEach((cell, i) => { cell.dataset.label = heads[i][1]; });
    return row;
  }));
  $("more").hidden = list.length <= shown;
  $("shown").textContent = `${count(Math.min(shown, list.length))} of ${count(table.total)} classes`;
}

function choose(one, moved) {
  chosen = one;
  draw();
  history.replaceState(null, "", `?${new URLSearchParams({ class: one.name })}`);
  $("class-name").textContent = one.name;
  $("class-hint").hidden = true;
  $("class-detail").hidden = false;
  $("class-links").replaceChildren(h("a.button", { href: galleryLink(filterOf(one)) }, `All ${count(one.images)} images`), ...(one.accuracy && one.accuracy.mean < 1 ? [h("a.button", { href: galleryLink({ ...filterOf(one), wrong: true }) }, "Wrong ones")] : []), h("a.button", { href: `/jobs/${id}/histograms?${new URLSearchParams({ class: one.name })}` }, "Histograms"));
  const query = { class: one.label ?? String(one.target), size: 224 };
  for (const [name, of] of [["mean", "mean"], ["spread", "spread"]]) {
    const image = $(name);
    image.closest("figure").hidden = false;
    image.alt = `${of === "mean" ? "Mean mask" : "Spread of the masks"} of ${one.name}`;
    image.onerror = () => { image.closest("figure").hidden = true; };
    image.src = `/v1/jobs/${id}/mean-mask.png?${new URLSearchParams({ ...query, of })}`;
  }
  if (moved && matchMedia("(max-width: 1000px)").matches) $("detail").scrollIntoView();
  showErrors(examples);
}

async function examples() {
  const mine = (asked += 1), one = chosen, number = $("number").value;
  const value = one.means[number];
  $("number-means").textContent = value ? `${meaning(number)} Mean ${decimal(value.mean)}${value.low === null ? "" : ` (${decimal(value.low)} to ${decimal(value.high)})`} over ${count(value.count)} images.` : meaning(number);
  const read = (descending) => api(`/v1/jobs/${id}/results?${new URLSearchParams({ ...filterOf(one), status: "ok", target_rank: 0, sort: number, descending, limit: 6 })}`);
  const lists = await Promise.all([read(better(number) !== "lower"), read(better(number) === "lower")]);
  if (mine !== asked) return;
  for (const [place, { items }] of [["best", lists[0]], ["worst", lists[1]]]) $(place).replaceChildren(...items.map((item) => example(item, decimal(item[number]))));
}

$("search").addEventListener("input", debounce(150, () => { shown = AT_ONCE; draw(); }));
$("by").addEventListener("change", () => showErrors(choseColumn));
$("more").addEventListener("click", () => { shown += AT_ONCE; draw(); });
$("number").addEventListener("change", () => showErrors(examples));

showErrors(async () => {
  const [made] = await Promise.all([api(`/v1/jobs/${id}/by-class`), job, showTitle("classes")]);
  table = made;
  if (!table.classes.length) return empty("No classes yet", "They appear as soon as a worker has committed explained images.");
  const known = numbers.filter((name) => table.classes.some((one) => one.means[name]));
  const first = ["probability", "area", "kept"].filter((name) => known.includes(name));
  columns = [...first, ...known.filter((name) => !first.includes(name) && !["removed", "iterations"].includes(name))].slice(0, fitting());
  $("number").replaceChildren(...known.map((name) => h("option", { value: name }, titleOf(name))));
  $("number").value = known.find((name) => !["probability", "kept", "removed", "area", "iterations"].includes(name)) ?? known[0] ?? "";
  const further = Object.keys((await job).facts?.columns ?? {});
  $("by").append(...[...further, ...GROUPED.filter((name) => !further.includes(name))].map((name) => h("option", { value: name }, words(name))));
  $("by").value = [...further, ...GROUPED].includes(parameters.get("by")) ? parameters.get("by") : "";
  if ($("by").value) await choseColumn();
  else draw();
  const wanted = table.classes.find((one) => one.name === parameters.get("class"));
  showPage();
  if (wanted) choose(wanted, false);
  return undefined;
});
