import { $, api, empty, fill, h, may, showRefusal, showErrors, when } from "/static/ui.js";

async function load() {
  const schedules = await api("/v1/schedules");
  fill($("rows"), schedules.map((s) => h("tr", null,
    h("td.nowrap", null, s.name), h("td.nowrap", null, h("code", null, s.cron), ` ${s.zone}`), h("td.nowrap", null, s.paused ? "paused" : s.next_at ? when(s.next_at) : "never"),
    h("td.any", null, s.request.dataset), h("td.nowrap", null, s.request.model, h("small.soft", null, ` ${s.request.preset ?? "default preset"}`), s.has_webhook ? h("small.soft", null, ", webhook") : null),
    h("td.do", null, may.submit ? h("button.danger", { type: "button", onclick: () => remove(s.name) }, "Remove") : null))));
  $("table").hidden = !schedules.length;
  $("empty").hidden = true;
  if (!schedules.length) empty("No schedules yet", "A schedule submits a job at the times of a cron line. Add one with the form above or with ", h("code", null, "gfi schedule add"), ".");
}

async function remove(name) {
  if (!confirm(`Remove the schedule ${name}? The jobs it has submitted stay.`)) return;
  await showErrors(async () => {
    await api(`/v1/schedules/${encodeURIComponent(name)}`, { method: "DELETE" });
    await load();
  });
}

const form = $("form");
if (form) {
  showErrors(async () => {
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
    showRefusal(null);
    const value = (name) => form.elements[name].value.trim();
    try {
      await api("/v1/schedules", { method: "POST", body: { name: value("name"), cron: value("cron"), zone: value("zone"), job: { dataset: value("dataset"), model: value("model"), preset: value("preset") } } });
      form.elements.name.value = "";
      await load();
    } catch (error) { showRefusal(error); }
  });
}
showErrors(load);
