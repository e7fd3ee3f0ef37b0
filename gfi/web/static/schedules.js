import { $, api, count, decimal, empty, fill, h, may, methodAsked, methodOptions, methodPicked, percent, svg, toast, showRefusal, showErrors, when, words } from "/static/ui.js";

// As it is read: 6h, 36h, 1d.
const UNITS = Object.entries({ d: 86400, h: 3600, m: 60, s: 1 });
const interval = (seconds) => { const [unit, size] = UNITS.find(([, size]) => seconds % size === 0) ?? ["s", 1]; return `${seconds / size}${unit}`; };

const toldNobody = (s) => !s.has_webhook && !s.has_email && ("notify" in s.follow_ups || s.follow_ups.compare?.gate != null);
const addresses = (s) => (toldNobody(s) ? ", tells nobody" : s.has_webhook || s.has_email ? `, tells ${[s.has_webhook && "a webhook", s.has_email && "an e-mail address"].filter(Boolean).join(" and ")}` : "");

async function load() {
  const schedules = await api("/v1/schedules");
  fill($("rows"), schedules.map((s) => h("tr", null,
    h("td.nowrap", null, s.name), h("td", null, s.every_s ? `every ${interval(s.every_s)}` : h("code", null, s.cron), ` ${s.zone}`, h("small.soft", null, ` ${s.overlap} if active${s.whole ? ", whole" : ""}${Object.keys(s.follow_ups).map((name) => `, then ${name}`).join("")}${addresses(s)}`)), h("td.nowrap", { title: s.upcoming.map(when).join("\n") }, s.paused ? "paused" : s.next_at ? when(s.next_at) : "never"),
    h("td.any", null, s.request.dataset), h("td.nowrap", null, s.request.model, h("small.soft", null, ` ${(s.request.method ?? "gfi") !== "gfi" ? s.request.method : s.request.preset ?? "default preset"}`)),
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
    await offerHistory(name, firings);
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

// A webhook begins with a scheme; what has an @ and none is an e-mail address.
const addressed = (address) => (!address ? {} : address.includes("://") ? { webhook: address } : { email: address });

// The numbers of a class over the runs, each as a line of its own: no axis, the last value in words.
const WIDTH = 160, HEIGHT = 40;
function line(name, values, shown) {
  const known = values.filter((v) => v !== null);
  if (!known.length) return null;
  const low = Math.min(...known), high = Math.max(...known), step = WIDTH / Math.max(values.length - 1, 1);
  const y = (v) => (high > low ? HEIGHT - 4 - ((HEIGHT - 8) * (v - low)) / (high - low) : HEIGHT / 2);
  const points = values.map((v, i) => (v === null ? null : [i * step, y(v)]));
  // A run without the number leaves a gap.
  const path = points.map((p, i) => (p ? `${points[i - 1] ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}` : "")).join("");
  const last = points.findLast(Boolean);
  return h("figure.history", null,
    svg("svg", { viewBox: `-4 0 ${WIDTH + 8} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": `${name}: from ${shown(low)} to ${shown(high)}, last ${shown(known.at(-1))}` }, svg("path", { d: path, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }), svg("circle", { cx: last[0], cy: last[1], r: 3, fill: "currentColor" })),
    h("figcaption", null, `${name} `, h("strong", null, shown(known.at(-1))), h("small.soft", null, ` ${shown(low)} to ${shown(high)}`)));
}

async function showHistory(name) {
  const runs = await api(at(name, `/class-history?${new URLSearchParams({ class: $("history-class").value })}`));
  const share = (part, all) => runs.map((r) => (r[part] === null || !r[all] ? null : r[part] / r[all]));
  const numbers = [...new Set(runs.flatMap((r) => Object.keys(r.means)))];
  $("history").replaceChildren(...[
    line("moved", share("moved", "pairs"), percent), line("predicted otherwise", share("flips", "compared"), percent), line("accuracy", runs.map((r) => r.accuracy), percent), line("images", runs.map((r) => r.images), count),
    ...numbers.map((number) => line(words(number), runs.map((r) => r.means[number] ?? null), (v) => decimal(v, 2))),
  ].filter(Boolean));
}

async function offerHistory(name, firings) {
  const newest = firings.find((f) => f.job && (f.state === "succeeded" || f.state === "partial"));
  $("history-panel").hidden = !newest;
  if (!newest) return;
  const { classes } = await api(`/v1/jobs/${newest.job}/by-class?limit=1000`);
  $("history-class").replaceChildren(...classes.map((c) => h("option", { value: c.name }, c.name)));
  $("history-class").onchange = () => showErrors(() => showHistory(name));
  $("history-panel").hidden = !classes.length;
  if (classes.length) await showHistory(name);
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
      const added = await api("/v1/schedules", { method: "POST", body: { name: value("name"), [/^\d+(\.\d+)?[smhd]$/.test(value("cron")) ? "every" : "cron"]: value("cron"), zone: value("zone"), overlap: form.overlap.value, misfire: form.misfire.value, misfire_most: form.misfire.value === "all" ? 10 : 1, whole: form.whole.checked, audit: form.audit.checked, compare: form.compare.checked || Boolean(form.gate.value.trim()) ? { gate: form.gate.value.trim() || null } : false, notify: form.notify.value ? { verdicts: form.notify.value.split(" ") } : false, keep: value("keep") ? { runs: Number(value("keep")), flagged: form.flagged.checked } : false, trigger: form.trigger.value, job: { dataset: value("dataset"), model: value("model"), ...methodAsked(form), ...addressed(value("address")), ...(value("most_images") ? { most_images: Number(value("most_images")) } : {}) } } });
      form.elements.name.value = "";
      if (toldNobody(added)) toast(`Nobody is told what follows the jobs of ${added.name}: no webhook or e-mail was given`, true);
      await load();
    } catch (error) { showRefusal(error); }
  });
}
showErrors(load);
