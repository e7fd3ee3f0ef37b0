import { $, api, count, empty, fill, h, showRefusal, showErrors } from "/static/ui.js";

async function layers(reference) {
  const list = await api(`/v1/models/${encodeURIComponent(reference)}/layers`);
  $("layers-title").textContent = `Layers of ${reference}`;
  fill($("layers"), list.map((l) => h("tr", null, h("td", null, h("code", null, l.name)), h("td", null, l.type), h("td", null, l.shape.join(" × ")), h("td", null, l.rectified ? "yes" : ""))));
  $("layers-panel").hidden = false;
  $("layers-panel").scrollIntoView({ block: "nearest" });
}

async function load() {
  const models = await api("/v1/models");
  const chosen = (p) => p.error || `${p.inverted}, ${p.weighed.join(" + ")}`;
  fill($("rows"), models.map((m) => h("tr", null,
    h("td", null, m.reference, m.note ? h("p.soft", null, m.note) : null, m.nondeterministic ? h("p.soft", null, `Nondeterministic: ${m.nondeterministic}`) : null),
    h("td.num", { title: `Registered ${new Date(m.registered_at * 1000).toLocaleString()}${m.registered_by ? ` by ${m.registered_by}` : ""}` }, m.version), h("td.nowrap", null, m.input_size.join(" × ")), h("td.num", null, count(m.classes)), h("td.num", null, count(m.parameters)),
    h("td", null, ...Object.entries(m.presets).map(([name, p]) => h("p.soft", null, h(name === m.default_preset ? "b" : "span", null, name), ` ${chosen(p)}`))), h("td", null, h("code", null, m.digest.slice(0, 12))),
    h("td.do", null, h("button", { type: "button", onclick: () => showErrors(() => layers(m.reference)) }, "Layers")))));
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
