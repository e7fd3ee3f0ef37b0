// A histogram on which a range is chosen by dragging; the numbers can be typed beside it.
import { count, svg } from "/static/ui.js";

const HEIGHT = 140;

// data: { width, bins }, behind: the same for the whole job, drawn pale. chosen(low, high) is called with null for an open end.
export function drawHistogram(place, { data, behind = null, low = null, high = null, label }, chosen = null) {
  const all = [...data.bins, ...(behind?.bins ?? [])];
  if (!all.length) { place.replaceChildren("No image has this number."); return; }
  const first = Math.min(...all.map(([edge]) => edge)), last = Math.max(...all.map(([edge]) => edge)) + data.width;
  const at = (value) => (100 * (value - first)) / (last - first);
  const share = (bins) => { const top = Math.max(...bins.map(([, n]) => n), 1); return bins.map(([edge, n]) => [edge, n, n / top]); };
  const bar = (kind) => ([edge, n, part]) => svg("rect", { class: kind, x: `${at(edge)}%`, width: `${(92 * data.width) / (last - first)}%`, y: HEIGHT * (1 - part), height: Math.max(n ? 1 : 0, HEIGHT * part) });
  const chart = svg("svg", { role: "img", "aria-label": label, preserveAspectRatio: "none" });
  if (behind) chart.append(...share(behind.bins).map(bar("behind")));
  chart.append(...share(data.bins).map(bar("bin")));
  const band = svg("rect", { class: "band", y: 0, height: HEIGHT, x: 0, width: 0 });
  const show = (a, b) => {
    const [from, to] = [at(a ?? first), at(b ?? last)];
    band.setAttribute("x", `${Math.max(0, from)}%`);
    band.setAttribute("width", a === null && b === null ? 0 : `${Math.max(0, Math.min(100, to) - Math.max(0, from))}%`);
  };
  show(low, high);
  chart.append(band);
  for (const [x, value, anchor] of [[0, first, "start"], [100, last, "end"]]) {
    const text = svg("text", { x: `${x}%`, y: HEIGHT + 14, "text-anchor": anchor });
    text.textContent = String(Number(value.toFixed(4)));
    chart.append(text);
  }
  place.replaceChildren(chart);
  if (!chosen) return;
  let from = null;
  const valueAt = (event) => {
    const box = chart.getBoundingClientRect();
    const value = first + ((last - first) * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    return Math.round(value / data.width) * data.width;
  };
  chart.addEventListener("pointerdown", (event) => { from = valueAt(event); chart.setPointerCapture(event.pointerId); });
  const ends = (event) => { const to = valueAt(event); return from === to ? [null, null] : [Math.min(from, to), Math.max(from, to)]; };
  chart.addEventListener("pointermove", (event) => { if (from !== null) show(...ends(event)); });
  chart.addEventListener("pointerup", (event) => { if (from !== null) { const range = ends(event); from = null; show(...range); chosen(...range.map((n) => (n === null ? null : Number(n.toFixed(6))))); } });
}

// About how many images lie between; bins count whole.
export function imagesBetween(data, low, high) {
  const within = data.bins.filter(([edge]) => (low === null || edge + data.width > low) && (high === null || edge < high));
  return count(within.reduce((sum, [, n]) => sum + n, 0));
}
