// The histogram of each number of a job; a range of one is chosen with a brush and opened in the gallery.
import { $, api, count, debounce, decimal, empty, h, showErrors, showPage } from "/static/ui.js";
import { drawHistogram, imagesBetween } from "/static/brush.js";
import { galleryLink, id, job, meaning, showTitle, titleOf } from "/static/results.js";

const parameters = new URLSearchParams(location.search);
let summary = null, classes = null, number = null, part = null, asked = 0; // part: the histogram of the chosen class and value

const ends = () => ["low", "high"].map((name) => ($(name).value === "" ? null : $(name).valueAsNumber));
const wanted = () => classes.classes.find((one) => one.name === $("class").value.trim()) ?? null;
const filterOf = (one) => (one.label !== null ? { label: one.label } : { target: one.target });
const condition = () => ($("column").value && $("value").value.trim() ? `${$("column").value}=${$("value").value.trim()}` : "");
// Which images: those of a class, those with a value of a column, or both; empty for all.
const filters = () => { const one = wanted(); return { ...(one ? filterOf(one) : {}), ...(condition() ? { where: condition() } : {}) }; };
const partWords = () => [$("class").value.trim(), condition()].filter(Boolean).join(" and ");

function keepAddress() {
  const [low, high] = ends();
  const query = new URLSearchParams(Object.entries({ number, class: $("class").value.trim(), where: condition(), low, high }).filter(([, v]) => v !== null && v !== ""));
  history.replaceState(null, "", `?${query}`);
}

async function show() {
  const mine = (asked += 1), one = wanted();
  $("class").setAttribute("aria-invalid", String($("class").value.trim() !== "" && one === null));
  const whole = summary.histograms[number];
  const chosen = filters();
  const found = Object.keys(chosen).length ? await api(`/v1/jobs/${id}/histogram?${new URLSearchParams({ number, ...chosen })}`) : null;
  if (mine !== asked) return;
  part = found;
  const mean = found ? found.mean : summary.means[number];
  $("number-name").textContent = titleOf(number);
  $("meaning").textContent = `${meaning(number)} ${mean ? `Mean ${decimal(mean.mean)}${found && mean.low !== null ? ` (${decimal(mean.low)} to ${decimal(mean.high)})` : ""} over ${count(mean.count)} images.` : ""}`;
  draw(whole);
  for (const button of $("numbers").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.number === number));
}

function draw(whole) {
  const [low, high] = ends();
  const data = part ?? whole;
  const label = `${titleOf(number)}: ${data.bins.length} bins${part ? ` of ${partWords()}, with the whole job behind` : ""}`;
  drawHistogram($("chart"), { data, behind: part ? whole : null, low, high, label }, (from, to) => {
    $("low").value = from ?? "";
    $("high").value = to ?? "";
    range();
  });
  range();
}

function range() {
  const [low, high] = ends();
  const chosen = low !== null || high !== null;
  $("words").textContent = chosen ? `about ${imagesBetween(part ?? summary.histograms[number], low, high)} images` : "drag over the bars, or type";
  $("show").href = galleryLink({ ...filters(), ...(chosen ? { metric: number, at_least: low, at_most: high } : {}), sort: number });
  keepAddress();
}

function pick(name) {
  number = name;
  $("low").value = $("high").value = "";
  showErrors(show);
}

function small(name) {
  const chart = h("span.brush.tiny-chart");
  const button = h("button.panel", { type: "button", "aria-pressed": "false", "data-number": name, onclick: () => { pick(name); $("number-name").scrollIntoView({ block: "nearest" }); } }, h("span", null, titleOf(name)), chart);
  drawHistogram(chart, { data: summary.histograms[name], label: titleOf(name) });
  return button;
}

const redraw = debounce(200, () => draw(summary.histograms[number]));
for (const name of ["low", "high"]) $(name).addEventListener("input", () => { range(); redraw(); });
$("clear").addEventListener("click", () => { $("low").value = $("high").value = ""; draw(summary.histograms[number]); });
// The column's most frequent values.
async function offerValues() {
  const { groups } = $("column").value ? await api(`/v1/jobs/${id}/groups?${new URLSearchParams({ by: $("column").value })}`) : { groups: [] };
  $("values").replaceChildren(...groups.filter(({ value }) => value !== null).slice(0, 100).map(({ value }) => h("option", { value: String(value) })));
}

for (const name of ["class", "value"]) $(name).addEventListener("change", () => showErrors(show));
$("column").addEventListener("change", () => { $("value").value = ""; showErrors(offerValues); showErrors(show); });

showErrors(async () => {
  [summary, classes] = await Promise.all([api(`/v1/jobs/${id}/summary`), api(`/v1/jobs/${id}/by-class`), job, showTitle("histograms")]);
  const names = Object.keys(summary.histograms);
  if (!names.length) return empty("No numbers yet", "They appear as soon as a worker has committed explained images.");
  number = names.includes(parameters.get("number")) ? parameters.get("number") : names.includes("area") ? "area" : names[0];
  $("class").value = parameters.get("class") ?? "";
  for (const name of ["low", "high"]) $(name).value = parameters.get(name) ?? "";
  const columns = Object.keys((await job).facts?.columns ?? {});
  $("column-field").hidden = !columns.length;
  $("column").append(...columns.map((name) => h("option", { value: name }, name)));
  const [column, ...value] = (parameters.get("where") ?? "").split("=");
  if (columns.includes(column)) { $("column").value = column; $("value").value = value.join("="); await offerValues(); }
  $("class-list").replaceChildren(...classes.classes.slice(0, 1000).map((one) => h("option", { value: one.name })));
  $("numbers").replaceChildren(...names.map(small));
  await show();
  showPage();
  return undefined;
});
