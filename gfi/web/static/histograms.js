// The histogram of each number of a job; a range of one is chosen with a brush and opened in the gallery.
import { $, api, count, debounce, decimal, empty, h, showErrors, showPage } from "/static/ui.js";
import { drawHistogram, imagesBetween } from "/static/brush.js";
import { galleryLink, id, job, meaning, showTitle, titleOf } from "/static/results.js";

const parameters = new URLSearchParams(location.search);
let summary = null, classes = null, number = null, ofClass = null, asked = 0;

const ends = () => ["low", "high"].map((name) => ($(name).value === "" ? null : $(name).valueAsNumber));
const wanted = () => classes.classes.find((one) => one.name === $("class").value.trim()) ?? null;
const filterOf = (one) => (one.label !== null ? { label: one.label } : { target: one.target });

function keepAddress() {
  const [low, high] = ends();
  const query = new URLSearchParams(Object.entries({ number, class: $("class").value.trim(), low, high }).filter(([, v]) => v !== null && v !== ""));
  history.replaceState(null, "", `?${query}`);
}

async function show() {
  const mine = (asked += 1), one = wanted();
  $("class").setAttribute("aria-invalid", String($("class").value.trim() !== "" && one === null));
  const whole = summary.histograms[number];
  const found = one === null ? null : await api(`/v1/jobs/${id}/histogram?${new URLSearchParams({ number, ...filterOf(one) })}`);
  if (mine !== asked) return;
  ofClass = found;
  const mean = found ? found.mean : summary.means[number];
  $("number-name").textContent = titleOf(number);
  $("meaning").textContent = `${meaning(number)} ${mean ? `Mean ${decimal(mean.mean)}${found && mean.low !== null ? ` (${decimal(mean.low)} to ${decimal(mean.high)})` : ""} over ${count(mean.count)} images.` : ""}`;
  draw(whole);
  for (const button of $("numbers").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.number === number));
}

function draw(whole) {
  const [low, high] = ends();
  const data = ofClass ?? whole;
  const label = `${titleOf(number)}: ${data.bins.length} bins${ofClass ? ` of ${$("class").value}, with the whole job behind` : ""}`;
  drawHistogram($("chart"), { data, behind: ofClass ? whole : null, low, high, label }, (from, to) => {
    $("low").value = from ?? "";
    $("high").value = to ?? "";
    range();
  });
  range();
}

function range() {
  const [low, high] = ends(), one = wanted();
  const chosen = low !== null || high !== null;
  $("words").textContent = chosen ? `about ${imagesBetween(ofClass ?? summary.histograms[number], low, high)} images` : "drag over the bars, or type";
  $("show").href = galleryLink({ ...(one ? filterOf(one) : {}), ...(chosen ? { metric: number, at_least: low, at_most: high } : {}), sort: number });
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
$("class").addEventListener("change", () => showErrors(show));

showErrors(async () => {
  [summary, classes] = await Promise.all([api(`/v1/jobs/${id}/summary`), api(`/v1/jobs/${id}/by-class`), job, showTitle("histograms")]);
  const names = Object.keys(summary.histograms);
  if (!names.length) return empty("No numbers yet", "They appear as soon as a worker has committed explained images.");
  number = names.includes(parameters.get("number")) ? parameters.get("number") : names.includes("area") ? "area" : names[0];
  $("class").value = parameters.get("class") ?? "";
  for (const name of ["low", "high"]) $(name).value = parameters.get(name) ?? "";
  $("class-list").replaceChildren(...classes.classes.slice(0, 1000).map((one) => h("option", { value: one.name })));
  $("numbers").replaceChildren(...names.map(small));
  await show();
  showPage();
  return undefined;
});
