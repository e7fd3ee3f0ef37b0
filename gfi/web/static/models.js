import { $, api, count, empty, fill, h, may, showRefusal, showErrors, toast, when } from "/static/ui.js";

async function layers(reference) {
  const list = await api(`/v1/models/${encodeURIComponent(reference)}/layers`);
  $("layers-title").textContent = `Layers of ${reference}`;
  fill($("layers"), list.map((l) => h("tr", null, h("td", null, h("code", null, l.name)), h("td", null, l.type), h("td", null, l.shape.join(" × ")), h("td", null, l.rectified ? "yes" : ""))));
  $("layers-panel").hidden = false;
  $("layers-panel").scrollIntoView({ block: "nearest" });
}

const deviates = (m) => (m.nondeterministic ? h("small", null, h("span.mark", null, `Not repeatable: ${m.nondeterministic}`)) : null);

async function versions(reference) {
  const list = await api(`/v1/models/${encodeURIComponent(reference)}/versions`);
  $("versions-title").textContent = `Versions of ${reference}`;
  fill($("versions"), list.map((m) => h("tr", null,
    h("td.num", null, h("code", null, `@${m.version}`)), h("td.nowrap", null, when(m.registered_at)), h("td.any", null, m.registered_by || h("span.soft", null, "not recorded")),
    h("td.any", null, m.note, deviates(m)), h("td.nowrap", null, h("code", { title: m.digest }, m.digest.slice(0, 12))),
    h("td.do", null, may.admin ? h("button.danger", { type: "button", onclick: () => remove(`${m.reference}@${m.version}`, list.length > 1) }, "Remove") : null))));
  $("versions-panel").hidden = false;
  $("versions-panel").scrollIntoView({ block: "nearest" });
}

async function remove(name, others) {
  if (!confirm(`Remove ${name}${others ? "" : ", the last version of this model"}? Jobs that have ended keep what they recorded of it.`)) return;
  await showErrors(async () => {
    await api(`/v1/models/${encodeURIComponent(name)}`, { method: "DELETE" });
    toast(`${name} is removed`);
    await load();
    const reference = name.replace(/@[0-9]+$/, "");
    if (others) await versions(reference);
    else for (const id of ["versions-panel", "layers-panel"]) $(id).hidden = true;
  });
}

async function load() {
  const models = await api("/v1/models");
  const chosen = (p) => p.error || `${p.inverted}, ${p.weighed.join(" + ")}`;
  fill($("rows"), models.map((m) => h("tr", null,
    h("td.any", null, m.reference, m.note ? h("small", { title: m.note }, m.note.length > 90 ? `${m.note.slice(0, 90)} …` : m.note) : null, deviates(m)),
    h("td.num", { title: `Registered ${new Date(m.registered_at * 1000).toLocaleString()}${m.registered_by ? ` by ${m.registered_by}` : ""}` }, m.version), h("td.nowrap", null, m.input_size.join(" × ")), h("td.num", null, count(m.classes)), h("td.num", null, count(m.parameters)),
    h("td", null, ...Object.entries(m.presets).map(([name, p]) => h("p.soft", null, h(name === m.default_preset ? "b" : "span", null, name), ` ${chosen(p)}`))), h("td.nowrap", null, h("code", { title: m.digest }, m.digest.slice(0, 12))),
    h("td.do", null, h("button", { type: "button", onclick: () => showErrors(() => versions(m.reference)) }, "Versions"), " ", h("button", { type: "button", onclick: () => showErrors(() => layers(m.reference)) }, "Layers")))));
  $("table").hidden = !models.length;
  $("empty").hidden = true;
  if (!models.length) empty("No model is registered", "Register the sample: ", h("code", null, "gfi models add efficientnet-lite0"));
}

const form = $("form");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  showRefusal(null);
  try {
    let answer = await api("/v1/models?wait=20", { method: "POST", body: { reference: form.reference.value.trim() } });
    while (answer.url && ["pending", "leased"].includes(answer.state)) { // a task: its worker is not done yet
      await new Promise((resolve) => setTimeout(resolve, 1000));
      answer = await api(answer.url);
    }
    if (answer.url && answer.state !== "done") throw new Error(answer.reason || `The registration was ${answer.state}.`);
    form.reset();
    await load();
  } catch (error) { showRefusal(error); } finally { button.disabled = false; }
});
showErrors(load);
