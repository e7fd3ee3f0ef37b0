// Saved views: the filters and the order of the gallery under a name.
import { $, api, may, showErrors, toast } from "/static/ui.js";
import { id } from "/static/results.js";
import { options } from "/static/gallery-state.js";
import { fillBoxes, query } from "/static/gallery-address.js";

let views = [];

export async function offerViews() {
  views = await api(`/v1/jobs/${id}/views`);
  show();
}

// Marks the view whose query is that of the page.
export function show() {
  const now = query().toString();
  const open = views.find((view) => new URLSearchParams(view.query).toString() === now);
  $("views").replaceChildren(...options([["", views.length ? "not saved" : "none saved"], ...views.map((view) => [view.name, view.name])]));
  $("views").value = open?.name ?? "";
  $("views").title = open ? `saved by ${open.owner}` : "";
  $("save-view").hidden = !may.submit;
  $("delete-view").hidden = !open || !may.submit;
}

export function startViews(changed) {
  $("views").addEventListener("change", () => {
    const view = views.find(({ name }) => name === $("views").value);
    fillBoxes(new URLSearchParams(view?.query ?? ""));
    changed();
  });
  $("save-view").addEventListener("click", () => showErrors(async () => {
    const name = prompt("Save these filters and this order as:", $("views").value)?.trim();
    if (!name) return;
    await api(`/v1/jobs/${id}/views`, { method: "POST", body: { name, query: query().toString() } });
    toast(`View “${name}” saved. Its address can be sent.`);
    await offerViews();
  }));
  $("delete-view").addEventListener("click", () => showErrors(async () => {
    const name = $("views").value;
    if (!confirm(`Delete the view “${name}”?`)) return;
    await api(`/v1/jobs/${id}/views/${encodeURIComponent(name)}`, { method: "DELETE" });
    await offerViews();
  }));
}
