// Which images are selected, and the bar of what can be done with them.
import { $, api, count, h, may, showErrors, toast } from "/static/ui.js";
import { galleryLink, id } from "/static/results.js";
import { options, state } from "/static/gallery-state.js";
import { listedQuery } from "/static/gallery-address.js";
import { draw } from "/static/gallery-grid.js";

const MOST_IN_ADDRESS = 300;
const FORMATS = ["csv", "parquet", "jsonl", "coco", "fiftyone", "virelay", "overlays", "cvat", "label-studio"];
const MOST_AGAIN = 10000;
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
  $("explain-again").hidden = !may.submit || state.all || rows.length > MOST_AGAIN || !["succeeded", "partial"].includes(state.job?.state);
  draw();
}

$("select-all").addEventListener("click", () => { state.all = true; show(); });
$("select-none").addEventListener("click", selectNone);

// The selection in a format of `gfi export`. Whoever may submit has it made as a task, of any size; others get a small one at once.
async function exportSelection() {
  const format = $("export-format").value;
  const view = (state.all ? listedQuery() : new URLSearchParams({ rows: [...state.selected.keys()].join(",") })).toString();
  const save = (href) => { const link = h("a", { href, download: "" }); link.click(); };
  if (!may.submit) return save(`/v1/jobs/${id}/export?${new URLSearchParams({ format, view })}`);
  $("export-selected").disabled = true;
  try {
    let made = await api(`/v1/jobs/${id}/exports`, { method: "POST", body: { format, view } });
    toast("The export is being made; it is downloaded when it is done.");
    while (!made.file && !["failed", "cancelled"].includes(made.state)) {
      await new Promise((then) => setTimeout(then, 1000));
      made = await api(`/v1/jobs/${id}/exports/${made.id}`);
    }
    if (made.file) save(made.file);
    else toast(`The export is ${made.state}. ${made.reason ?? ""}`, true);
  } finally { $("export-selected").disabled = false; }
  return undefined;
}

$("export-format").replaceChildren(...options(FORMATS.map((name) => [name, name])));
$("export-selected").addEventListener("click", () => showErrors(exportSelection));
$("explain-again").addEventListener("click", () => showErrors(async () => {
  const rows = [...state.selected.keys()];
  if (!confirm(`Explain ${rows.length === 1 ? "this image" : `these ${count(rows.length)} images`} again? The earlier results are kept.`)) return;
  await api(`/v1/jobs/${id}/retry`, { method: "POST", body: { rows } });
  location.assign(`/jobs/${id}`);
}));
