// One image: its pictures with zoom, its numbers and what they mean, its flag, images like it.
import { $, api, count, decimal, h, may, percent, showErrors, svg, words } from "/static/ui.js";
import { example, galleryLink, id, meaning, numbers, picture, titleOf } from "/static/results.js";
import { state } from "/static/gallery-state.js";
import { panes } from "/static/gallery-grid.js";
import { otherLabel, ownName, slidPane } from "/static/gallery-comparison.js";
import { setFlags } from "/static/gallery-flags.js";

const SIMILAR = 12;
let zoom = 1, shift = [0, 0], move = () => {}, shown = null, boxes = null; // boxes: of the image that is shown

export const isOpen = () => $("viewer").open;

export function openViewer() {
  const item = state.items[state.chosen];
  if (!item) return;
  if (shown !== item) { resetZoom(); $("similar").replaceChildren(); $("similar-words").textContent = ""; boxes = null; showErrors(() => readBoxes(item)); }
  shown = item;
  $("viewer-name").textContent = item.key;
  $("place").textContent = `${count(state.chosen + 1)} of ${count(state.items.length)}${state.complete ? "" : "+"}`;
  showStage();
  $("viewer-comparison").value = $("comparison").value;
  $("viewer-about").replaceChildren(about(item));
  if (item.has_mask) showErrors(() => showNotes(item));
  const { flag } = item;
  if (flag && ![...$("flag-kind").options].some(({ value }) => value === flag.flag)) $("flag-kind").append(h("option", { value: flag.flag }, flag.flag));
  $("flag-kind").value = flag?.flag ?? "look";
  $("flag-note").value = flag?.note ?? "";
  $("unflag").hidden = !flag;
  $("flag-owner").textContent = flag ? `Flagged by ${flag.owner}, ${new Date(flag.at * 1000).toLocaleString()}` : "";
  $("flag-form").hidden = !may.submit;
  $("similar-tools").hidden = !item.has_mask;
  if (!isOpen()) $("viewer").showModal();
}

// Two methods lie over one another under a slider, or beside one another.
function showStage() {
  const size = Math.min(1600, Math.max(960, innerWidth)), compared = $("comparison").value && !["error", "changed"].includes(shown.status);
  const slid = compared && $("slid").checked;
  $("slid-field").hidden = !compared;
  $("mix-field").hidden = !slid;
  $("mix-own").textContent = ownName();
  $("mix-other").textContent = otherLabel();
  $("stage").replaceChildren(...(slid ? [slidPane(shown, size)] : panes(shown, size)));
  drawBoxes();
}

async function readBoxes(item) {
  const found = await api(`/v1/jobs/${id}/results/${item.row}/boxes`);
  if (shown !== item) return;
  boxes = found;
  drawBoxes();
}

// The boxes of the dataset over every picture; those of other classes than the explained one are drawn thin.
function drawBoxes() {
  for (const old of $("stage").querySelectorAll(".boxes")) old.remove();
  $("boxes-field").hidden = !boxes?.boxes.length;
  $("boxes-words").textContent = [...new Set(boxes?.boxes.map(({ label }) => label ?? shown.label ?? "no label"))].join(", ");
  $("boxes-error").textContent = boxes?.error ? `No boxes: ${boxes.error}.` : "";
  if (!boxes?.boxes.length || !$("boxes").checked) return;
  const [height, width] = boxes.size, mine = [shown.label, shown.target_name];
  for (const pic of $("stage").querySelectorAll(".pic")) {
    if (!pic.querySelector("img")) continue;
    pic.append(svg("svg", { class: "boxes", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...boxes.boxes.map((box) =>
      svg("rect", { class: box.label === null || mine.includes(box.label) ? "box" : "box other", x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }))));
  }
}

function about(item) {
  const known = (value) => value !== null && value !== undefined && value !== "";
  const texts = [["Status", words(item.status)], ["Error", item.error], ["Target", item.target_name ?? item.target], ["Predicted", item.prediction_name ?? item.prediction], ["Label", item.label], ...Object.entries(item.columns)].filter(([, v]) => known(v));
  const values = numbers.filter((name) => known(item[name])).map((name) => [name, name === "iterations" ? String(item[name]) : ["probability", "kept", "removed"].includes(name) ? percent(item[name]) : decimal(item[name])]);
  return h("dl.facts", null,
    ...texts.flatMap(([k, v]) => [h("dt", null, k), h(k === "Predicted" && item.right === false ? "dd.bad-text" : "dd", null, String(v), k === "Predicted" && item.right === false ? " ≠ label" : "")]),
    ...values.flatMap(([name, v]) => [h("dt", null, h("abbr", { title: meaning(name), tabindex: 0 }, titleOf(name))), h("dd", null, v)]),
    ...(item.from_job ? [h("dt", null, "Carried from"), h("dd", null, h("a", { href: `/jobs/${item.from_job}` }, item.from_job))] : []),
    h("dt", null, "Mask"), h("dd", null, item.has_mask ? h("a", { href: picture(id, item, "mask.npy"), download: "" }, "float32 .npy") : "none"));
}

// What was done to the photograph's values and boxes is stored only in the part, so it is requested for single images.
async function showNotes(item) {
  const { window: applied, repairs } = await api(`/v1/jobs/${id}/results/${item.row}?target_rank=${item.target_rank}`);
  if (shown !== item) return;
  const unsaid = (repairs ?? []).filter((r) => !(item.error ?? "").includes(r));
  const notes = [applied && ["Values", `${applied.low} is black and ${applied.high} white (${applied.source})`], unsaid.length && ["Boxes", unsaid.join("; ")]].filter(Boolean);
  $("viewer-about").querySelector("dl").append(...notes.flatMap(([k, v]) => [h("dt", null, k), h("dd", null, v)]));
}

async function showSimilar(by) {
  const item = shown;
  $("similar-words").textContent = "Comparing …";
  const query = new URLSearchParams({ by, limit: SIMILAR, target_rank: item.target_rank });
  let found;
  try { found = await api(`/v1/jobs/${id}/results/${item.row}/similar?${query}`); } catch (error) { $("similar-words").textContent = ""; throw error; }
  if (shown !== item) return;
  const all = galleryLink({ rows: [item.row, ...found.images.map(({ result }) => result.row)] });
  $("similar-words").replaceChildren(`The most similar of ${count(found.compared)}${found.complete ? "" : ` (of ${count(found.of)}; a large job is compared in part)`} images with a mask. `, h("a", { href: all }, "Show them in the gallery"));
  $("similar").replaceChildren(...found.images.map(({ similarity, result }) => example(result, decimal(similarity))));
}

// -- zoom: all pictures together, around the same place ------------------------------------------------------
function applyZoom() {
  $("stage").style.setProperty("--zoom", zoom);
  $("stage").style.setProperty("--dx", `${shift[0]}px`);
  $("stage").style.setProperty("--dy", `${shift[1]}px`);
  $("zoom-value").textContent = percent(zoom);
}
export function zoomBy(factor) {
  zoom = Math.min(8, Math.max(1, zoom * factor));
  if (zoom === 1) shift = [0, 0];
  applyZoom();
}
export function resetZoom() { zoom = 1; shift = [0, 0]; applyZoom(); }

export function startViewer(moved) {
  move = moved;
  for (const [name, step] of [["before", -1], ["after", 1]]) $(name).addEventListener("click", () => move(step));
  $("viewer-close").addEventListener("click", () => $("viewer").close());
  $("viewer").addEventListener("close", () => $("grid").focus({ preventScroll: true }));
  $("flag-form").addEventListener("submit", (event) => { event.preventDefault(); showErrors(() => setFlags([shown.row], $("flag-kind").value, $("flag-note").value)); });
  $("unflag").addEventListener("click", () => showErrors(() => setFlags([shown.row], null)));
  for (const by of ["mask", "features"]) $(`similar-${by}`).addEventListener("click", () => showErrors(() => showSimilar(by)));
  for (const name of ["boxes", "slid"]) {
    $(name).checked = localStorage.getItem(`gfi-${name}`) !== "off";
    $(name).addEventListener("change", () => { localStorage.setItem(`gfi-${name}`, $(name).checked ? "on" : "off"); showStage(); });
  }
  $("mix").addEventListener("input", () => { $("mix-value").textContent = `${$("mix").value} %`; $("stage").style.setProperty("--mix", $("mix").value / 100); });
  $("viewer-comparison").addEventListener("change", () => { $("comparison").value = $("viewer-comparison").value; $("comparison").dispatchEvent(new Event("change")); });
  $("zoom-in").addEventListener("click", () => zoomBy(1.5));
  $("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  $("stage").addEventListener("wheel", (event) => { event.preventDefault(); zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15); }, { passive: false });
  let from = null;
  $("stage").addEventListener("pointerdown", (event) => { if (zoom > 1) { from = [event.clientX - shift[0], event.clientY - shift[1]]; $("stage").setPointerCapture(event.pointerId); event.preventDefault(); } });
  $("stage").addEventListener("pointermove", (event) => { if (from) { shift = [event.clientX - from[0], event.clientY - from[1]]; applyZoom(); } });
  for (const end of ["pointerup", "pointercancel"]) $("stage").addEventListener(end, () => { from = null; });
}
