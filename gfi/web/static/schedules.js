import { $, api, duration, empty, fill, h, may, methodAsked, methodOptions, methodPicked, toast, showRefusal, showErrors, when } from "/static/ui.js";

async function load() {
  const schedules = await api("/v1/schedules");
  fill($("rows"), schedules.map((s) => h("tr", null,
    h("td.nowrap", null, s.name), h("td", null, s.every_s ? `every ${duration(s.every_s)}` : h("code", null, s.cron), ` ${s.zone}`, h("small.soft", null, ` ${s.overlap} if active${s.whole ? ", whole" : ""}${Object.keys(s.follow_ups).map((name) => `, then ${name}`).join("")}`)), h("td.nowrap", { title: s.upcoming.map(when).join("\n") }, s.paused ? "paused" : s.next_at ? when(s.next_at) : "never"),
    h("td.any", null, s.request.dataset), h("td.nowrap", null, s.request.model, h("small.soft", null, ` ${(s.request.method ?? "gfi") !== "gfi" ? s.request.method : s.request.preset ?? "default preset"}`), s.has_webhook ? h("small.soft", null, ", webhook") : null),
    h("td.do", null, h("button", { type: "button", onclick: () => fired(s.name) }, "Firings"), ...(may.submit ? [h("button", { type: "button", onclick: () => change(s.name, { paused: !s.paused }) }, s.paused ? "Resume" : "Pause"), h("button", { type: "button", onclick: () => run(s.name) }, "Run now")] : []), may.submit ? h("button.danger", { type: "button", onclick: () => remove(s.name) }, "Remove") : null))));
  $("table").hidden = !schedules.length;
  $("empty").hidden = true;
  if (!schedules.length) empty("No schedules yet", "A schedule submits a job at the times of a cron line. Add one with the form above or with ", h("code", null, "gfi schedule add"), ".");
}

const at = (name, more = "") => `/v1/schedules/${encodeURIComponent(name)}${more}`;

async function change(name, changes) {
  await showErrors(async () => {
    await api(at(name), { method: "PATCH", body: changes });
    await load();
  });
}

async function run(name) {
  await showErrors(async () => {
    const { job, reason } = await api(at(name, "/run"), { method: "POST" });
    toast(job ? `Submitted as ${job}` : reason ?? "It waits for the end of an earlier job");
    await load();
    await fired(name);
  });
}

async function fired(name) {
  await showErrors(async () => {
    const [firings, all] = await Promise.all([api(at(name, "/firings")), api("/v1/schedules")]);
    const schedule = all.find((s) => s.name === name);
    $("firings-title").textContent = `Firings of ${name}`;
    $("upcoming").textContent = schedule?.upcoming.length ? `Next: ${schedule.upcoming.map(when).join(", ")}` : "";
    fill($("firings"), firings.map((f) => h("tr", null, h("td.nowrap", null, when(f.at)), h("td.nowrap", null, f.job && f.state ? h("a", { href: `/jobs/${f.job}` }, f.job) : f.job ?? "none"), h("td.nowrap", null, f.state ?? (f.job ? "deleted" : "")), h("td.any", null, f.reason ?? (f.waiting ? "waits for an earlier job" : ""), ...Object.entries(f.followed).map(followed)))));
    $("firings-panel").hidden = false;
  });
}

// What became of a follow-up: audits and comparisons have pages.
const page = (f) => (f.audit ? `/audits/${f.audit}` : f.comparison ? `/comparisons/${f.comparison}` : null);
const followed = ([name, f]) => h("div", null, page(f) ? h("a", { href: page(f) }, name) : name, `: ${f.verdict ?? f.reason ?? (f.messages ? `${f.messages} messages` : f.state)}`);

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
    const [models, vocabulary] = await Promise.all([api("/v1/models"), api("/v1/vocabulary")]);
    form.elements.method.replaceChildren(...methodOptions(vocabulary.methods));
    form.elements.method.addEventListener("change", () => methodPicked(form));
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
      await api("/v1/schedules", { method: "POST", body: { name: value("name"), [/^\d+(\.\d+)?[smhd]$/.test(value("cron")) ? "every" : "cron"]: value("cron"), zone: value("zone"), overlap: form.overlap.value, misfire: form.misfire.value, misfire_most: form.misfire.value === "all" ? 10 : 1, whole: form.whole.checked, audit: form.audit.checked, compare: form.compare.checked || Boolean(form.gate.value.trim()) ? { gate: form.gate.value.trim() || null } : false, notify: Boolean(form.gate.value.trim()), job: { dataset: value("dataset"), model: value("model"), ...methodAsked(form) } } });
      form.elements.name.value = "";
      await load();
    } catch (error) { showRefusal(error); }
  });
}
showErrors(load);
