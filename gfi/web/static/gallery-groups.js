// The further columns of the manifest: the filter on one, and the images grouped by one.
import { $, api, count, decimal, fill as fillTable, h, words } from "/static/ui.js";
import { id, numbers } from "/static/results.js";
import { options, state } from "/static/gallery-state.js";
import { condition } from "/static/gallery-address.js";
import { draw } from "/static/gallery-grid.js";

export function offerColumns() {
  const columns = Object.keys(state.job.facts?.columns ?? {});
  $("column-field").disabled = !columns.length;
  $("column").replaceChildren(...options([["", "any"], ...columns.map((name) => [name, name])]));
  $("group").replaceChildren(...options([["", "nothing"], ...columns.map((name) => [name, name]), ...["label", "prediction", "target", "status"].filter((name) => !columns.includes(name)).map((name) => [name, words(name)])]));
}

const groupsOf = (by, where = "") => api(`/v1/jobs/${id}/groups?${new URLSearchParams({ by, ...(where ? { where } : {}) })}`);

// The suggestions of the value box: the column's most frequent values.
export async function offerValues() {
  const groups = $("column").value ? (await groupsOf($("column").value)).groups : [];
  $("column-values").replaceChildren(...groups.filter((g) => g.value !== null).slice(0, 100).map((g) => h("option", { value: String(g.value) })));
}

let grouping = 0;
export async function showGroups(only) {
  const mine = (grouping += 1);
  const by = $("group").value;
  if (!by) { $("groups-panel").hidden = true; return draw(); }
  const { groups, more } = await groupsOf(by, condition());
  if (mine !== grouping) return undefined;
  const shown = ["probability", "kept", "removed", "area", ...numbers.filter((n) => !["probability", "kept", "removed", "area", "iterations"].includes(n))].filter((n) => groups.some((g) => g.means[n]));
  $("groups-head").replaceChildren(h("th", null, words(by)), h("th.num", null, "Images"), h("th.num", null, "Explained"), ...shown.map((n) => h("th.num", null, words(n))));
  const name = (value) => (value === null ? "no value" : by === "prediction" || by === "target" ? state.classes[value] ?? String(value) : String(value));
  const cell = (group) => (state.job.facts?.columns?.[by] && group.value !== null ? h("button.quiet", { type: "button", onclick: () => only(by, group.value) }, name(group.value)) : name(group.value));
  fillTable($("groups"), groups.map((g) => h("tr", null, h("td", null, cell(g)), h("td.num", null, count(g.images)), h("td.num", null, count(g.counts.ok ?? 0)), ...shown.map((n) => h("td.num", null, decimal(g.means[n]?.mean))))));
  $("groups-more").hidden = !more;
  $("groups-more").textContent = `These are the ${count(groups.length)} largest groups; there are more.`;
  $("groups-panel").hidden = false;
  draw();
  return undefined;
}
