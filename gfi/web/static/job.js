import { $, api, count, decimal, duration, fill, findings, follow, h, may, rate, state, svg, toast, showErrors, showRefusal, when, showPage, words } from "/static/ui.js";

const id = location.pathname.split("/")[2];
const vocabulary = await api("/v1/vocabulary");
const order = vocabulary.statuses.map((status) => status.name);
const ended = (s) => vocabulary.job_states.some(({ name, ended }) => ended && name === s);
let job = null;

function progress() {
  const p = job.progress;
  const left = p.eta_s === null ? "…" : `${duration(p.eta_low_s)} – ${duration(p.eta_high_s)}`;
  const took = job.finished_at && job.planned_at ? job.finished_at - job.planned_at : null;
  const pace = [took ? rate(p.done / took) : rate(p.rate) || "—", "images per second"];
  const figures = [[p.total === null ? "…" : `${count(p.done + p.finished)} / ${count(p.total)}`, "images"], pace, ...(ended(job.state) ? [[duration(p.elapsed_s), "from submission to end"]] : [[left, "left"], [duration(p.elapsed_s), "since submission"], [count(p.in_flight), "in progress"]])];
  $("figures").replaceChildren(...figures.map(([value, text]) => h("", null, h("strong", null, value), h("span", null, text))));
  const total = p.total || 1;
  $("bar").replaceChildren(...order.filter((s) => p.by_status[s]).map((s) => h(`i.c-${s}`, { style: { width: `${(100 * p.by_status[s]) / total}%` } })), h("i.c-running", { style: { width: `${(100 * (p.finished + p.partial)) / total}%` } }));
  $("bar").setAttribute("aria-label", `${count(p.done)} of ${count(p.total)} images done`);
  $("legend").replaceChildren(...order.filter((s) => p.by_status[s]).map((s) => h("span.state", null, h(`i.dot.c-${s}`), `${words(s)} ${count(p.by_status[s])}`)));
  $("sub").replaceChildren(state(job.paused && !ended(job.state) ? "paused" : job.state), job.error ? ` — ${job.error}` : job.waits ? ` — waits: ${job.waits}` : "");
}

function button(text, work, kind = "") {
  return h(`button${kind}`, { type: "button", onclick: () => showErrors(async () => { await work(); await load(); }) }, text);
}

const form = $("audit-form");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  showRefusal(null);
  const value = (name) => form.elements[name].value.trim();
  try {
    const { audit: made } = await api(`/v1/jobs/${id}/audit`, { method: "POST", body: { classes: value("classes").split(",").map((name) => name.trim()).filter(Boolean), training: value("training") || null } });
    location.assign(`/audits/${made.id}`);
  } catch (error) { showRefusal(error); }
});

function audit() {
  form.hidden = !form.hidden;
  if (!form.hidden) form.elements.classes.focus();
}

async function audits() {
  const list = await api(`/v1/jobs/${id}/audits`);
  $("audits-panel").hidden = !list.length;
  fill($("audits"), list.map((a) => h("tr", null, h("td", null, h("a", { href: `/audits/${a.id}` }, when(a.created_at))), h("td", null, state(a.state)), h("td", null, findings(a) || a.reason || ""), h("td", null, a.owner))));
}

function actions() {
  const nodes = [h("a.button.primary", { href: `/jobs/${id}/gallery` }, "Gallery")];
  if (may.submit) {
    if (ended(job.state)) nodes.push(h("button", { type: "button", title: "Test what the model looks at", onclick: audit }, "Audit"));
    if (!ended(job.state)) {
      nodes.push(job.paused ? button("Resume", () => api(`/v1/jobs/${id}/resume`, { method: "POST" })) : button("Pause", () => api(`/v1/jobs/${id}/pause`, { method: "POST" })));
      nodes.push(button("Cancel", () => api(`/v1/jobs/${id}`, { method: "DELETE" }), ".danger"));
    } else {
      if (job.state === "cancelled" || job.state === "failed" || job.state === "partial") nodes.push(button("Try failed images again", () => api(`/v1/jobs/${id}/retry`, { method: "POST", body: {} })));
      nodes.push(h("button.danger", { type: "button", onclick: remove }, "Delete"));
    }
  }
  const signature = nodes.map((n) => n.textContent).join();
  if ($("actions").dataset.signature === signature) return;
  $("actions").dataset.signature = signature;
  $("actions").replaceChildren(...nodes);
}

async function remove() {
  if (!confirm("Delete this job with its results and masks? The audit log records that it existed.")) return;
  await showErrors(async () => {
    await api(`/v1/jobs/${id}/data`, { method: "DELETE" });
    location.assign("/jobs");
  });
}

function provenance() {
  const c = job.config;
  const facts = [["Dataset", job.dataset], ["Model", `${job.model} · ${job.model_digest.slice(0, 12)}`], ["Preset", `${job.preset} · ${(c.method_digest || "").slice(0, 12)}`], ["Layers", c.layers ? `${c.layers.inverted}, ${c.layers.weighed.join(" + ")}` : ""], ["Target", String(c.target ?? "")], ...(c.rather_than == null ? [] : [["Rather than", String(c.rather_than)]]), ...(c.top > 1 ? [["Classes", `the ${c.top} most probable`]] : []), ["Metrics", (c.metrics || []).join(", ") || "none"], ["Profile", job.profile ? `${job.profile.device_kind}, ${job.profile.dtype ?? ""}, batch ${job.profile.batch ?? "?"}` : "set by the first worker"], ["Listing", job.listing_digest ? job.listing_digest.slice(0, 12) : "not listed yet"], ["Configuration", job.config_digest.slice(0, 12)], ["Submitted", `${when(job.created_at)}${job.owner ? ` by ${job.owner}` : ""}`], ...job.warnings.map((w) => ["Warning", w])];
  const since = job.carried == null ? [] : [h("dt", null, "Since"), h("dd", null, h("a", { href: `/jobs/${job.since}` }, job.since), `: ${count(job.explained)} explained, ${count(job.carried)} carried over, ${count(job.removed)} removed`)];
  $("facts").replaceChildren(...facts.flatMap(([k, v]) => [h("dt", null, k), h("dd", null, v)]), ...since, h("dt", null, "Export"), h("dd", null, h("a", { href: `/v1/jobs/${id}/config`, download: "" }, "configuration"), " · ", h("a", { href: `/v1/jobs/${id}/results?format=jsonl`, download: `results-${id}.jsonl` }, "results as JSONL")));
  $("config").textContent = JSON.stringify(c, null, 2);
}

async function shards() {
  const list = [];
  let after = null;
  do {
    const page = await api(`/v1/jobs/${id}/shards?limit=1000${after ? `&after=${after}` : ""}`);
    list.push(...page.items);
    after = page.next;
  } while (after && list.length < 3000);
  $("shards").replaceChildren(...list.slice(0, 600).map((s) => h(`i.c-${s.state}`, { title: `${s.start}–${s.stop - 1}: ${s.state}${s.worker ? ` at ${s.worker}` : ""}${s.reason ? `, ${s.reason}` : ""}` })));
  const by = Object.entries(job.progress.shards).filter(([, n]) => n);
  $("shard-words").textContent = by.length ? by.map(([s, n]) => `${count(n)} ${s}`).join(", ") : "None yet: the dataset has not been listed.";
  chart(list.filter((s) => s.done_at && s.state === "done"));
}

function chart(done) {
  if (!done.length) return $("rate").replaceChildren(h("p.soft", null, "Shown when the first shard is done."));
  const start = job.planned_at || job.created_at;
  const end = Math.max(...done.map((s) => s.done_at), start + 1);
  const n = 48;
  const width = (end - start) / n;
  const bins = Array(n).fill(0);
  // A shard's images are spread over the time it was leased: a bar shows images explained then, not images committed then.
  for (const s of done) {
    const from = Math.min(s.leased_at ?? s.done_at, s.done_at - 0.001);
    for (let i = 0; i < n; i += 1) {
      const both = Math.min(s.done_at, start + (i + 1) * width) - Math.max(from, start + i * width);
      if (both > 0) bins[i] += ((s.stop - s.start) * both) / (s.done_at - from);
    }
  }
  const top = Math.max(...bins) / width || 1;
  const bars = bins.map((b, i) => svg("rect", { x: `${(100 * i) / n}%`, width: `${80 / n}%`, y: 16 + 92 * (1 - b / width / top), height: (92 * b) / width / top, rx: 1.5 }));
  const label = (text, x, y, anchor) => { const t = svg("text", { x, y, "text-anchor": anchor }); t.textContent = text; return t; };
  $("rate").replaceChildren(svg("svg", { role: "img", "aria-label": `Up to ${rate(top)} images per second` }, ...bars, label(`${rate(top)}`, "0", 11, "start"), label(when(start), "0", 124, "start"), label(when(end), "100%", 124, "end")));
}

async function failures() {
  const classes = await api(`/v1/jobs/${id}/failures`);
  $("failures-panel").hidden = !classes.length;
  fill($("failures"), classes.map((f) => h("tr", null, h("td", null, state(f.status)), h("td", null, f.error_class || ""), h("td.num", null, count(f.images)), h("td.any", null, f.example || ""), h("td.do", null, h("a.button", { href: `/jobs/${id}/gallery?status=${f.status}` }, "Show"), " ", may.submit && ended(job.state) && !["failed", "ok"].includes(f.status) ? button("Try again", async () => { await api(`/v1/jobs/${id}/retry`, { method: "POST", body: { statuses: [f.status] } }); toast("These images are being collected for another attempt."); }) : null))));
}

async function means() {
  const { means: columns } = await api(`/v1/jobs/${id}/summary`);
  const names = Object.keys(columns);
  $("means-panel").hidden = !names.length;
  $("means").replaceChildren(...names.map((n) => h("", null, h("dt", null, words(n)), h("dd", null, decimal(columns[n].mean, n === "iterations" ? 1 : 3)), h("dd", null, `${count(columns[n].count)} images${columns[n].classes > 1 ? `, ${decimal(columns[n].class_mean)} by class` : ""}`), ...Object.entries(columns[n].controls ?? {}).map(([control, mean]) => h("dd.soft", null, `${words(control)} ${decimal(mean)}`)))));
}

async function load() {
  job = await api(`/v1/jobs/${id}`);
  $("title").textContent = job.name || job.id;
  if (job.config.imported) $("title").append(h("small", null, " imported, not verified"));
  document.title = `${job.name || job.id} · gfi`;
  progress();
  actions();
  provenance();
  watch();
  await Promise.all([shards(), failures(), means(), audits()]).finally(showPage);
}

let following = false, last = 0;
function watch() {
  if (following || ended(job.state)) return;
  following = true;
  follow(id, (data, end) => {
    if (data.state === "deleted") return location.assign("/jobs");
    const before = job.state;
    Object.assign(job, { state: data.state, paused: data.paused ?? false, progress: data.progress });
    progress();
    actions();
    if (end) following = false;
    if (end || data.state !== before) return showErrors(load); // planning and the end of a job change more than its progress
    if (Date.now() - last > 4000) { last = Date.now(); return showErrors(async () => { await shards(); await failures(); }); }
    return undefined;
  });
}

// No event tells why a job waits, because its progress does not change then.
setInterval(() => {
  if (!job || ended(job.state) || document.hidden) return;
  showErrors(async () => { job = await api(`/v1/jobs/${id}`); progress(); });
}, 10000);

showErrors(load);
