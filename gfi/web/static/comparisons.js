import { $, api, empty, fill, h, repeat, showErrors, showRefusal, state, when, words } from "/static/ui.js";

async function load() {
  const comparisons = await api("/v1/comparisons");
  fill($("rows"), comparisons.map((c) => h("tr", null,
    h("td.nowrap", null, h("a", { href: `/comparisons/${c.id}` }, c.id)), h("td.nowrap", null, state(c.state)), h("td.nowrap", null, c.verdict ? words(c.verdict) : ""),
    h("td.nowrap", null, h("a", { href: `/jobs/${c.a}` }, c.a)), h("td.nowrap", null, h("a", { href: `/jobs/${c.b}` }, c.b)), h("td.nowrap", null, when(c.created_at)))));
  $("table").hidden = !comparisons.length;
  $("empty").hidden = true;
  if (!comparisons.length) empty("No comparisons yet", "A comparison says which masks moved between two jobs over the same images. Request one with the form above or with ", h("code", null, "gfi compare"), ".");
}

const form = $("form");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  showRefusal(null);
  const value = (name) => form.elements[name].value.trim();
  try {
    const made = await api("/v1/comparisons", { method: "POST", body: { a: value("a"), b: value("b"), floor: value("floor").split(/[\s,]+/).filter(Boolean), gate: form.elements.gate.value.trim() || null } });
    location.href = `/comparisons/${made.id}`;
  } catch (error) { showRefusal(error); }
});
showErrors(load);
repeat(5000, load);
