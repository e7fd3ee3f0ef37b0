// The cards of the gallery: only those in view exist.
import { $, count, decimal, h, percent, showErrors, words } from "/static/ui.js";
import { id, numbers, photograph, picture, titleOf } from "/static/results.js";
import { shortName, state } from "/static/gallery-state.js";
import { otherPane, ownName } from "/static/gallery-comparison.js";

const GAP = 14, DENSE_GAP = 6, DENSE = 7; // cards a row
const grid = $("grid");
const BUDGET_MS = 8; // of a frame, for making cards; the rest are made in the next frames
const cards = new Map();
let asked = false;
const soon = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); } };
let more = () => {}, press = () => {}, masksHidden = false;

// fetchMore: loads the next page of results; pressed: a card was clicked.
export function startGrid({ fetchMore, pressed }) {
  more = fetchMore;
  press = pressed;
  addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(soon).observe(grid);
}

export function shape() {
  const width = grid.clientWidth, panes = paneCount();
  const wanted = panes === 1 ? 230 : panes === 2 ? 400 : 540;
  const density = Number($("density").value);
  const most = Math.max(1, Math.floor((width + DENSE_GAP) / (80 + DENSE_GAP)));
  const columns = density > 1 ? Math.min(density, most) : Math.max(1, Math.floor((width + GAP) / (wanted + GAP)));
  const dense = columns >= DENSE, gap = dense ? DENSE_GAP : GAP, text = dense ? 24 : 56;
  const w = (width - gap * (columns - 1)) / columns;
  return { columns, gap, dense, w, panes, h: Math.round(Math.max(dense ? 40 : 110, (w / panes) * 0.8)) + text };
}
const paneCount = () => ($("view").value === "compare" ? 3 : 1) + ($("comparison").value ? 1 : 0);

export function draw() {
  // All sizes and places are read before anything is written: a read after a write makes the browser lay out the page.
  const { columns, gap, dense, w, h: height } = shape(), top = -grid.getBoundingClientRect().top;
  grid.classList.toggle("dense", dense);
  const rows = Math.ceil(state.items.length / columns);
  grid.style.height = `${Math.max(0, rows * (height + gap) - gap)}px`;
  const first = Math.max(0, Math.floor((top - 600) / (height + gap))) * columns;
  const last = Math.min(state.items.length, (Math.ceil((top + innerHeight + 600) / (height + gap)) + 1) * columns);
  for (const [index, card] of cards) if (index < first || index >= last) { card.remove(); cards.delete(index); }
  const end = performance.now() + BUDGET_MS;
  for (let index = first; index < last; index += 1) {
    let card = cards.get(index);
    if (!card && performance.now() > end) { soon(); continue; }
    if (!card) { card = make(index, w); cards.set(index, card); grid.append(card); }
    const column = index % columns, line = Math.floor(index / columns), size = `${w} ${height}`;
    if (card.gfiSize !== size) {
      Object.assign(card.style, { width: `${w}px`, height: `${height}px`, transform: `translate(${column * (w + gap)}px, ${line * (height + gap)}px)` });
      card.gfiSize = size;
    }
    const selected = String(state.all || state.selected.has(state.items[index].row));
    card.classList.toggle("current", index === state.chosen);
    if (card.getAttribute("aria-selected") !== selected) card.setAttribute("aria-selected", selected);
  }
  if (cards.has(state.chosen)) grid.setAttribute("aria-activedescendant", `card-${state.chosen}`);
  else grid.removeAttribute("aria-activedescendant");
  if (!state.complete && last > state.items.length - columns * 12) showErrors(more);
}

export function clearGrid() {
  grid.removeAttribute("aria-activedescendant");
  for (const card of cards.values()) card.remove();
  cards.clear();
}

export function remake() {
  clearGrid();
  draw();
}

const pictureSize = (width) => [128, 256, 384, 512].find((size) => size >= width * Math.min(2, devicePixelRatio)) ?? 768;

// The photograph with a mask over it. theirs: the result of another job whose mask is drawn.
export function stack(owner, item, { theirs = item, photo = true, mask = true, size = 384, label = "", plain = false }) {
  const pic = h("span.pic");
  const missing = (text) => () => pic.append(h("em", null, text));
  const look = { size, map: $("map").value, ...(Number($("threshold").value) ? { threshold: $("threshold").value } : {}) };
  if (photo) pic.append(photograph(id, item, size, missing("no photograph")));
  if (mask && theirs.has_mask) pic.append(h(plain ? "img" : "img.over", { src: picture(owner, theirs, "mask.png", look), alt: "", decoding: "async", onerror: missing("no mask") }));
  if (mask && !theirs.has_mask && (!photo || theirs !== item)) pic.append(h("em", null, theirs.why || "no mask"));
  if (label) pic.append(h("b", null, label));
  return pic;
}

// Pictures of an image that could not be read are not requested; the reason is shown instead.
export function panes(item, size) {
  if (item.status === "error" || item.status === "changed") return [h("span.pic", null, h("em", null, item.error || words(item.status)))];
  const view = $("view").value, other = $("comparison").value, list = [];
  if (view !== "overlay") list.push(stack(id, item, { mask: false, size }));
  if (view === "compare") list.push(stack(id, item, { photo: false, plain: true, size }));
  if (view !== "photo") list.push(stack(id, item, { size, label: other ? ownName() : "" }));
  if (other) list.push(otherPane(item, size));
  return list;
}

// Label beside prediction, with a mark when they differ; without labels the class that was explained.
export function classWords(item) {
  if (item.status !== "ok") return [h("span.cut", null, words(item.status))];
  const target = item.target_name ?? String(item.target ?? "");
  if (item.label === null || item.prediction === null) return [h("span.cut", null, target)];
  const predicted = item.prediction_name ?? String(item.prediction);
  if (item.right !== false) return [h("span.cut", null, target)];
  return [h("span.cut.wrong", { title: `Label ${item.label}, predicted ${predicted}` }, h("span.hidden", null, "wrong: "), h("span", { "aria-hidden": "true" }, "≠ "), `${item.label} → ${predicted}`)];
}

function make(index, width) {
  const item = state.items[index], { flag } = item, sort = $("sort").value;
  const right = item.status === "ok" ? (numbers.includes(sort) ? `${titleOf(sort)} ${decimal(item[sort])}` : percent(item.probability)) : "";
  const mark = flag ? h("span.mark", { title: [flag.note, `${flag.owner}, ${new Date(flag.at * 1000).toLocaleString()}`].filter(Boolean).join(" · ") }, h("span", { "aria-hidden": "true" }, "⚑ "), flag.flag === "look" ? h("span.hidden", null, "look again") : `${flag.flag} `) : "";
  return h("div.card", { id: `card-${index}`, role: "option", "data-row": item.row, onclick: (event) => press(index, event) },
    h("span.pics", null, ...panes(item, pictureSize(width / paneCount()))),
    h("span.tick", { "aria-hidden": "true", title: "Select (X)" }),
    h("span.text", null, h("p", { title: item.key }, mark, shortName(item)), h("p", null, h("span.state", null, h(`i.dot.c-${item.status}`), ...classWords(item)), h("span.right", null, right))));
}

// Makes the cards of these rows again, after their flags changed.
export function remakeRows(rows) {
  for (const [index, card] of cards) if (rows.has(state.items[index]?.row)) { card.remove(); cards.delete(index); }
  draw();
}

export function reveal(index) {
  const { columns, gap, h: height } = shape();
  const top = grid.getBoundingClientRect().top + Math.floor(index / columns) * (height + gap);
  const head = (getComputedStyle($("tools")).position === "sticky" ? $("tools").offsetHeight : 0) + 8;
  const foot = $("selection").hidden ? 0 : $("selection").offsetHeight + 8;
  if (top < head) scrollBy(0, top - head);
  else if (top + height > innerHeight - foot) scrollBy(0, top + height - innerHeight + foot + 8);
}

export function hideMasks(hidden = !masksHidden) {
  masksHidden = hidden;
  document.body.classList.toggle("no-masks", hidden);
}

export const loadedWords = () => {
  const top = state.job?.config.top ?? 1, total = (state.job?.progress.total ?? 0) * top, unit = top > 1 ? "explanations" : state.complete && state.items.length === 1 ? "image" : "images";
  return state.complete ? `${count(state.items.length)} ${unit}` : `${count(state.items.length)}${total ? ` of up to ${count(total)}` : ""} ${unit} loaded; more as you scroll`;
};
