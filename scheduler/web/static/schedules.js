import { $, api, empty, h, may, refused, told, when } from "/static/ui.js";

async function load() {
  const found = await api("/v1/schedules");
  $("rows").replaceChildren(...found.map((s) => h("tr", null, h("td", null, s.name), h("td", null, h("code", null, s.cron), ` ${s.zone}`), h("td.nowrap", null, s.paused ? "paused" : s.next_at ? when(s.next_at) : "never"), h("td", null, s.request.dataset), h("td", null, `${s.request.model} ${s.request.preset}`), h("td", null, may.submit ? h("button.danger", { type: "button", onclick: () => told(async () => { await api(`/v1/schedules/${encodeURIComponent(s.name)}`, { method: "DELETE" }); await load(); }) }, "Remove") : null))));
  $("empty").hidden = true;
  if (!found.length) empty("No schedules yet", "A schedule submits the same job again and again: ", h("code", null, "gfi schedule add"), " or the form above.");
}

const form = $("form");
if (form) {
  told(async () => {
    const models = await api("/v1/models");
    const presets = () => {
      const model = models.find((m) => m.reference === form.model.value);
      form.preset.replaceChildren(...Object.keys(model?.presets ?? {}).map((p) => h("option", { value: p, selected: p === model.default_preset }, p)));
    };
    form.model.replaceChildren(...models.map((m) => h("option", { value: m.reference }, m.reference)));
    form.model.addEventListener("change", presets);
    presets();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    refused(null);
    const value = (name) => form.elements[name].value.trim();
    try {
      await api("/v1/schedules", { method: "POST", body: { name: value("name"), cron: value("cron"), zone: value("zone"), job: { dataset: value("dataset"), model: value("model"), preset: value("preset") } } });
      form.elements.name.value = "";
      await load();
    } catch (error) { refused(error); }
  });
}
told(load);
