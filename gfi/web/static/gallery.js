// A gallery of thousands of explained images: only the cards in view exist, and results are fetched by page while scrolling.
import { $, api, count, debounce, empty, follow, h, may, showErrors, words } from "/static/ui.js";
import { drawHistogram } from "/static/brush.js";
import { id, job as whole, numbers, titleOf, vocabularyOf } from "/static/results.js";
import { comparedJob, isFiltered, linkedRow, listedQuery, query, readAddress, readCompared, readPrediction, setDirection, showFilters, unlink, writeAddress } from "/static/gallery-address.js";
import { compare, offerComparisons, onChange } from "/static/gallery-comparison.js";
import { chooseWords, flagSelection, flagWords, offerFlags, setFlags, undo } from "/static/gallery-flags.js";
import { clearGrid, draw, hideMasks, loadedWords, remake, reveal, shape, startGrid } from "/static/gallery-grid.js";
import { offerColumns, offerValues, showGroups } from "/static/gallery-groups.js";
import { hasSelection, select, selectLoaded, selectNone } from "/static/gallery-selection.js";
import { ended, options, predictedClass, state } from "/static/gallery-state.js";
import { offerViews, show as showViews, startViews } from "/static/gallery-views.js";
import { isOpen, openViewer, resetZoom, startViewer, zoomBy } from "/static/gallery-viewer.js";

const grid = $("grid");
let seen = 0;

$("status").replaceChildren(...options([["", "any"], ...vocabularyOf.statuses.map(({ name }) => [name, words(name)])]));
$("sort").replaceChildren(...options([["row", "listing order"], ...numbers.map((n) => [n, titleOf(n)])]));
$("metric").replaceChildren(...options([["", "any number"], ...numbers.map((n) => [n, titleOf(n)])]));
for (const name of ["map", "view", "opacity", "density"]) { const kept = localStorage.getItem(`gfi-${name}`); if (kept) $(name).value = kept; }

// One request at a time.
async function fetchMore() {
  if (state.complete || state.loading) return;
  if (predictedClass() === -1) { state.complete = true; summary(); return; }
  const q = query();
  q.set("limit", 200);
  if (state.next) q.set("after", state.next);
  const mine = api(`/v1/jobs/${id}/results?${linkedRow() === null ? q : listedQuery()}`);
  state.loading = mine;
  try {
    const page = await mine;
    if (state.loading !== mine) return; // the list was restarted meanwhile: this answer is outdated
    state.items.push(...page.items);
    state.next = page.next;
    state.complete = !state.next;
  } finally { if (state.loading === mine) state.loading = null; }
  summary();
  draw();
}

// The filters and the order of the page decide what is shown, and no longer the address that led here.
async function restart() {
  unlink();
  writeAddress();
  await list();
}

async function list() {
  // Complete until everything is cleared, because drawing requests what is missing.
  Object.assign(state, { items: [], next: null, complete: true, chosen: 0, loading: null });
  selectNone();
  clearGrid();
  showFilters(restart);
  showViews();
  $("empty").hidden = true;
  $("fresh").hidden = true;
  seen = state.job?.progress.done ?? 0;
  if (grid.getBoundingClientRect().top < 0) reveal(0);
  state.complete = false;
  await showErrors(fetchMore);
}

function summary() {
  $("keys").hidden = !state.items.length;
  $("shown").textContent = loadedWords();
  const unknown = predictedClass() === -1;
  $("prediction").setAttribute("aria-invalid", String(unknown));
  if (unknown) empty("No such class", `This model has no class called “${$("prediction").value.trim()}”. The box lists its classes as you type.`);
  else if (!state.items.length && state.complete) {
    const filtered = isFiltered();
    empty(filtered ? "No image matches" : "No results yet", filtered ? "Clear the filters to see all images." : ended(state.job) ? "This job ended before an image was explained." : "The first ones appear as soon as a worker has committed them.");
  } else $("empty").hidden = true;
}

function choose(index) {
  state.chosen = Math.max(0, Math.min(state.items.length - 1, index));
  reveal(state.chosen);
  draw();
  if (isOpen()) openViewer();
}

// A click opens; with shift, ctrl or on the tick, and while images are selected, it selects.
function pressed(index, event) {
  const selecting = event.shiftKey || event.ctrlKey || event.metaKey || event.target.classList.contains("tick");
  choose(index);
  if (selecting) { event.preventDefault(); select(index, { range: event.shiftKey }); } else openViewer();
}

async function flagByKey(flag) {
  if (!may.submit) return;
  if (hasSelection() && !isOpen()) await flagSelection(flag);
  else await setFlags([state.items[state.chosen].row], flag);
}

document.addEventListener("keydown", (event) => {
  const typing = ["TEXTAREA", "SELECT"].includes(event.target.tagName) || (event.target.tagName === "INPUT" && !["checkbox", "range"].includes(event.target.type));
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !state.items.length) return;
  if (event.target.type === "range" && event.key.startsWith("Arrow")) return;
  const columns = isOpen() ? 1 : shape().columns, { chosen } = state;
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, j: 1, k: -1, Home: -state.items.length, End: state.items.length };
  const free = [grid, document.body].includes(document.activeElement);
  const keys = {
    x: () => select(chosen), a: selectLoaded, u: () => showErrors(undo), m: () => hideMasks(), 0: () => showErrors(() => flagByKey(null)),
    f: () => { openViewer(); $("flag-note").focus(); },
    "[": () => opacity(-10), "]": () => opacity(10), "+": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), "=": resetZoom,
  };
  if (event.key in moves) {
    event.preventDefault();
    if (event.shiftKey && !isOpen()) { if (!hasSelection()) select(chosen, { on: true }); choose(chosen + moves[event.key]); select(state.chosen, { range: true }); } else choose(chosen + moves[event.key]);
  } else if (event.key === "Enter" && free) { event.preventDefault(); openViewer(); }
  else if (event.key === "Escape" && !isOpen() && hasSelection()) selectNone();
  else if (/^[1-9]$/.test(event.key)) { const flag = flagWords()[event.key - 1]; if (flag) { event.preventDefault(); showErrors(() => flagByKey(flag)); } }
  else if (event.key === " " && free) { event.preventDefault(); select(chosen); }
  else if (keys[event.key.toLowerCase()]) { event.preventDefault(); keys[event.key.toLowerCase()](); }
});

function opacity(step = 0) {
  const value = ($("opacity").value = Number($("opacity").value) + step);
  $("viewer-opacity").value = value;
  document.documentElement.style.setProperty("--opacity", value / 100);
  $("opacity-value").textContent = `${value} %`;
  localStorage.setItem("gfi-opacity", value);
}

function density() {
  const value = Number($("density").value);
  $("density-value").textContent = value > 1 ? value : "auto";
  localStorage.setItem("gfi-density", value);
}

// The histogram of the number in the filter, on which its range is brushed.
async function metricChart() {
  const number = $("metric").value;
  $("metric-chart").hidden = !number || $("more-filters").hidden;
  if ($("metric-chart").hidden) return;
  const data = await api(`/v1/jobs/${id}/histogram?${new URLSearchParams({ number })}`);
  if ($("metric").value !== number) return;
  const ends = ["low", "high"].map((name) => ($(name).value === "" ? null : $(name).valueAsNumber));
  drawHistogram($("metric-chart"), { data, low: ends[0], high: ends[1], label: `Histogram of ${titleOf(number)}` }, (low, high) => {
    $("low").value = low ?? "";
    $("high").value = high ?? "";
    restart();
  });
}

// While the job runs, its first results appear automatically and later ones on request, so that nothing moves on the screen.
function followJob() {
  if (ended(state.job)) return;
  follow(id, (data) => {
    if (data.state === "deleted") return;
    Object.assign(state.job, { state: data.state, progress: data.progress });
    const more = state.job.progress.done - seen;
    if (more > 0 && !state.items.length) { restart(); return; }
    $("fresh").textContent = `${count(more)} more explained: show`;
    $("fresh").hidden = more <= 0;
  });
}

// Only the images of one group.
function only(column, value) {
  $("column").value = column;
  $("column-is").value = "=";
  $("column-value").value = String(value);
  restart();
}

function fold(button, panel) {
  $(button).addEventListener("click", () => {
    const open = $(panel).hidden;
    $(panel).hidden = !open;
    $(button).setAttribute("aria-expanded", String(open));
    draw();
    if (panel === "more-filters") showErrors(metricChart);
  });
}

const offer = (list, names) => $(list).replaceChildren(...names.map((value) => h("option", { value })));
// Only when the box is entered: a thousand of them at once would hold up the scrolling.
$("label").addEventListener("focus", () => showErrors(async () => offer("labels", (await api(`/v1/jobs/${id}/labels`)).labels)), { once: true });

const groups = () => { if ($("group").value) showErrors(() => showGroups(only)); };
startGrid({ fetchMore, pressed });
startViewer((step) => choose(state.chosen + step));
startViews(restart);
onChange(() => { if (isOpen()) openViewer(); });
fold("more-tools", "more-filters");
fold("more-display", "display");
opacity();
density();
$("opacity").addEventListener("input", () => opacity());
$("viewer-opacity").addEventListener("input", () => { $("opacity").value = $("viewer-opacity").value; opacity(); });
$("density").addEventListener("input", () => { density(); remake(); });
const sharpen = debounce(250, () => { remake(); if (isOpen()) openViewer(); });
$("threshold").addEventListener("input", () => { $("threshold-value").textContent = $("threshold").value; sharpen(); });
for (const name of ["map", "view"]) $(name).addEventListener("change", () => { localStorage.setItem(`gfi-${name}`, $(name).value); remake(); });
$("column").addEventListener("change", () => { $("column-value").value = ""; showErrors(offerValues); restart(); groups(); });
for (const name of ["column-is", "column-value"]) $(name).addEventListener("change", () => { restart(); groups(); });
$("group").addEventListener("change", () => showErrors(() => showGroups(only)));
$("fresh").addEventListener("click", restart);
$("comparison").addEventListener("change", () => { writeAddress(); showErrors(compare); });
$("flag-words").addEventListener("click", chooseWords);
for (const name of ["status", "sort", "flagged", "flag", "wrong", "label", "prediction"]) $(name).addEventListener("change", restart);
$("metric").addEventListener("change", () => { restart(); showErrors(metricChart); });
for (const name of ["search", "low", "high"]) $(name).addEventListener("input", debounce(300, restart));
$("direction").addEventListener("click", () => { setDirection(!state.descending); restart(); });

showErrors(async () => {
  state.job = await whole;
  const { job } = state;
  $("title").textContent = job.name || "Gallery";
  if (job.config.imported) $("title").append(h("small", null, " imported, not verified"));
  $("back").href = `/jobs/${id}`;
  $("back").textContent = job.name || job.id;
  $("export").href = `/v1/jobs/${id}/flags?format=csv`;
  document.title = `${job.name || job.id}: gallery · gfi`;
  offerColumns();
  readAddress();
  await list();
  if (linkedRow() !== null && state.items.length) openViewer();
  const changed = () => { if (isOpen()) openViewer(); };
  const [model] = await Promise.all([api(`/v1/models/${encodeURIComponent(job.model)}`).catch(() => null), offerComparisons(comparedJob()), offerFlags(changed), offerViews()]);
  state.classes = model?.class_names ?? [];
  offer("classes", state.classes);
  if ($("comparison").value) showErrors(compare);
  readCompared();
  const typed = $("prediction").value;
  readPrediction();
  showFilters(restart);
  if (typed) restart(); // text that was typed before the classes were known
  followJob();
});
