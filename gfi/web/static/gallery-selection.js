// Which images are selected, and the bar of what can be done with them.
import { $, count } from "/static/ui.js";
import { galleryLink, id } from "/static/results.js";
import { state } from "/static/gallery-state.js";
import { query } from "/static/gallery-address.js";
import { draw } from "/static/gallery-grid.js";

const MOST_IN_ADDRESS = 300;
let anchor = null; // where a range begins

export function select(index, { range = false, keep = true, on = null } = {}) {
  const toggle = (at, to) => { const item = state.items[at]; if (to) state.selected.set(item.row, item); else state.selected.delete(item.row); };
  state.all = false;
  if (!keep) state.selected.clear();
  if (range && anchor !== null) for (let at = Math.min(anchor, index); at <= Math.max(anchor, index); at += 1) toggle(at, true);
  else { toggle(index, on ?? !state.selected.has(state.items[index].row)); anchor = index; }
  show();
}

export function selectLoaded() {
  state.all = false;
  for (const item of state.items) state.selected.set(item.row, item);
  show();
}

export function selectNone() {
  state.all = false;
  state.selected.clear();
  anchor = null;
  show();
}

export const hasSelection = () => state.all || state.selected.size > 0;

function show() {
  const rows = [...state.selected.keys()];
  $("selection").hidden = !hasSelection();
  $("selected").textContent = state.all ? "All that match" : `${count(rows.length)} selected`;
  $("only-selected").hidden = state.all || rows.length > MOST_IN_ADDRESS;
  if (!$("only-selected").hidden) $("only-selected").href = galleryLink({ rows });
  const filters = state.all || rows.length > MOST_IN_ADDRESS ? query() : new URLSearchParams(rows.map((row) => ["rows", row]));
  $("export-selected").hidden = !state.all && rows.length > MOST_IN_ADDRESS;
  filters.set("format", "jsonl");
  $("export-selected").href = `/v1/jobs/${id}/results?${filters}`;
  $("export-selected").download = `results-${id}.jsonl`;
  draw();
}

$("select-all").addEventListener("click", () => { state.all = true; show(); });
$("select-none").addEventListener("click", selectNone);
