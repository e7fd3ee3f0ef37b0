import { $, api, bytes, count, decimal, duration, empty, repeat, h, debounce, may, methodAsked, methodOptions, methodPicked, rate, showRefusal, state, showErrors, when, words } from "/static/ui.js";

const rows = new Map();
const headings = [...$("jobs").tHead.rows[0].cells].map((cell) => cell.textContent);
let shown = 50, newest = 0;

function row(job) {
  const p = job.progress;
  const share = p.total ? Math.min(1, (p.done + p.finished + p.partial) / p.total) : 0;
  const cells = [
    h("td", null, h("a", { href: `/jobs/${job.id}` }, job.name || job.id), h("small", { title: job.dataset }, job.dataset.split("/").slice(-2).join("/"))),
    h("td", null, state(job.shown_state)),
    h("td", null, h(".meter", { role: "img", "aria-label": `${Math.round(100 * share)} percent` }, h("i", { style: { width: `${100 * share}%` } })), h("small", null, p.total === null ? "not listed yet" : `${count(p.done + p.finished)} of ${count(p.total)}${notOk(p)}`)),
    h("td.num", null, rate(job.finished_at && job.planned_at ? p.done / Math.max(job.finished_at - job.planned_at, 0.1) : p.rate)),
    h("td.num", { title: p.eta_low_s === null ? null : `${duration(p.eta_low_s)} to ${duration(p.eta_high_s)}` }, p.eta_s === null ? "" : duration(p.eta_s)),
    h("td.nowrap", null, job.model, h("small.soft", null, ` ${job.preset}`)),
    h("td.nowrap", null, when(job.created_at)),
  ];
  const node = rows.get(job.id) || h("tr", { "data-job": job.id });
  const signature = JSON.stringify(job);
  if (node.dataset.signature !== signature) {
    node.dataset.signature = signature;
    cells.forEach((cell, i) => { cell.dataset.label = headings[i]; });
    node.replaceChildren(...cells);
  }
  rows.set(job.id, node);
  return node;
}

function notOk(p) {
  const n = Object.entries(p.by_status).reduce((sum, [name, value]) => sum + (name === "ok" ? 0 : value), 0);
  return n ? `, ${count(n)} not ok` : "";
}

async function load() {
  const query = new URLSearchParams({ limit: Math.min(1000, shown) });
  if ($("state").value) query.set("state", $("state").value);
  if ($("search").value.trim()) query.set("search", $("search").value.trim());
  const mine = (newest += 1);
  const page = await api(`/v1/jobs?${query}`);
  if (mine !== newest) return; // another filter was chosen meanwhile
  const body = document.querySelector("#jobs tbody");
  const wanted = page.items.map(row);
  if (wanted.length !== body.children.length || wanted.some((node, i) => node !== body.children[i])) body.replaceChildren(...wanted);
  $("more").hidden = !page.next;
  $("jobs").hidden = !page.items.length;
  if (page.items.length) $("empty").hidden = true;
  else if (query.has("state") || query.has("search")) empty("No job matches", "Clear the filters to see all jobs.");
  else empty("No jobs yet", may.submit ? "Start one with New job, or " : "Start one with ", h("code", null, "gfi submit --dataset FOLDER"), ".");
}

const again = () => showErrors(load);
repeat(2000, again);
$("state").addEventListener("change", again);
$("search").addEventListener("input", debounce(250, again));
$("more").addEventListener("click", () => { shown += 100; again(); });

const form = $("composer");
let models = [], limits = null;

async function open() {
  form.hidden = !form.hidden;
  $("new").setAttribute("aria-expanded", String(!form.hidden));
  if (form.hidden || models.length) return;
  const buttons = form.querySelectorAll("#estimate-button, #trial-button, [type=submit]");
  for (const button of buttons) button.disabled = true; // until the models are known
  const [registered, places, vocabulary] = await Promise.all([api("/v1/models"), api("/v1/datasets"), api("/v1/vocabulary")]);
  $("metrics").replaceChildren(...vocabulary.metrics.map(({ name }) => h("label", null, h("input", { type: "checkbox", name: "metrics", value: name, checked: name === "deletion" || name === "insertion" }), words(name))));
  form.elements.method.replaceChildren(...methodOptions(vocabulary.methods));
  models = registered;
  limits = places.uploads;
  form.photographs.disabled = false;
  form.photographs.title = `at most ${limits.images}, ${bytes(limits.bytes)} together`;
  form.model.replaceChildren(...models.map((m) => h("option", { value: m.reference }, m.reference)));
  if (!models.length) showRefusal({ message: "No model is registered.", advice: "gfi models add efficientnet-lite0" });
  $("datasets").replaceChildren(...places.registered.map((d) => h("option", { value: `@${d.name}` }, d.dataset)));
  $("where").textContent = places.roots.length || places.buckets.length ? `Below ${[...places.roots, ...places.buckets.map((b) => `s3://${b}`)].join(", ")}` : "A folder, manifest, tar shards or bucket that the workers can read.";
  await picked();
  for (const button of buttons) button.disabled = !models.length;
  form.elements.dataset.focus();
}

async function picked() {
  const model = models.find((m) => m.reference === form.model.value);
  if (!model) return;
  const names = Object.keys(model.presets).filter((name) => !model.presets[name].error);
  form.preset.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === model.default_preset }, name)));
  const layers = await api(`/v1/models/${encodeURIComponent(model.reference)}/layers`);
  if (form.model.value !== model.reference) return;
  const spatial = layers.filter((l) => l.tokens || l.shape.length >= 3);
  for (const select of [form.inverted, form.mask_layer]) select.replaceChildren(h("option", { value: "" }, "the preset's"), ...spatial.map((l) => h("option", { value: l.tokens ? `${l.name}:tokens` : l.name }, `${l.name} · ${l.type} ${l.shape.slice(-3).join("×")}`)));
}

function asked() {
  const body = {
    dataset: form.elements.dataset.value.trim(), model: form.model.value, ...methodAsked(form), target: form.elements.target.value.trim() || "auto",
    metrics: [...form.querySelectorAll("[name=metrics]:checked")].map((c) => c.value), name: form.elements.name.value.trim(), priority: Number(form.priority.value || 0),
  };
  const foil = form.elements.rather_than.value.trim();
  if (foil) body.rather_than = foil;
  if (Number(form.elements.top.value) > 1) body.top = Number(form.elements.top.value);
  const since = form.elements.since.value.trim();
  if (since) body.since = since;
  const [l0, l1] = [form.inverted.value, form.mask_layer.value];
  if (l0 || l1) {
    const own = models.find((m) => m.reference === form.model.value).presets[form.preset.value || "tuned"];
    body.layers = `${l0 || own.inverted},${l1 || own.weighed.join("+")}`;
  }
  return body;
}

// Uploaded photographs are a dataset of their own: the fields and buttons about a named dataset do not apply.
function sent() {
  const files = [...form.photographs.files];
  form.elements.dataset.disabled = files.length > 0;
  for (const name of ["estimate-button", "trial-button"]) $(name).hidden = files.length > 0;
  $("estimate").hidden = $("trial").hidden = true;
  showRefusal(null);
  $("preview").classList.toggle("bare", !files.length);
  $("preview").replaceChildren(h("p.soft", null, files.length ? `${count(files.length)} images · ${bytes(files.reduce((sum, file) => sum + file.size, 0))}; deleted after ${count(limits.hours)} hours` : "Enter a dataset to see its first photographs."), ...files.slice(0, 8).map((file) => {
    const src = URL.createObjectURL(file);
    const done = () => URL.revokeObjectURL(src);
    return h("figure", null, h("img", { src, alt: "", onload: done, onerror: (event) => { done(); event.target.replaceWith(h("em", null, "no preview")); } }), h("figcaption", { title: file.name }, file.name));
  }));
  if (!files.length) showErrors(preview);
}

async function submit() {
  const files = [...form.photographs.files];
  if (!files.length) return api("/v1/jobs", { method: "POST", body: asked() });
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (files.length > limits.images || size > limits.bytes) throw new Error(`At most ${limits.images} photographs and ${bytes(limits.bytes)} can be uploaded at once. Put more of them where the workers can read them, and enter that place as the dataset.`);
  const data = new FormData();
  const { dataset, ...options } = asked();
  const text = (value) => (Array.isArray(value) ? value.join(",") : typeof value === "object" ? JSON.stringify(value) : value);
  for (const [name, value] of Object.entries(options)) if (value) data.set(name, text(value));
  for (const file of files) data.append("images", file);
  return api("/v1/uploads", { method: "POST", form: data });
}

async function preview() {
  const dataset = form.elements.dataset.value.trim();
  if (!dataset) return;
  try {
    const seen = await api("/v1/datasets/preview", { method: "POST", body: { dataset, limit: 8 } });
    if (form.elements.dataset.value.trim() !== dataset || form.photographs.files.length) return;
    showRefusal(null);
    const text = `${seen.complete ? "" : "At least "}${count(seen.images)} images · ${seen.kind}`;
    $("preview").classList.remove("bare");
    $("preview").replaceChildren(h("p.soft", null, text), ...seen.warnings.map((warning) => h("p.soft", null, warning)), ...seen.items.map((item) => h("figure", null, h("img", { loading: "lazy", alt: "", onerror: (event) => event.target.replaceWith(h("em", null, "not a photograph")), src: `/v1/datasets/photo?${new URLSearchParams({ dataset, key: item.key, size: 240 })}` }), h("figcaption", { title: item.key }, item.label || item.key))));
  } catch (error) {
    showRefusal(error);
    $("preview").classList.add("bare");
    $("preview").replaceChildren(h("p.soft", null, "No preview."));
  }
}

async function estimate() {
  const [hours, price] = [Number($("plan-hours").value), $("plan-price").value];
  const plan = await api("/v1/jobs/estimate", { method: "POST", body: { ...asked(), ...(hours > 0 ? { deadline_s: 3600 * hours } : {}), ...(price === "" ? {} : { price_device_hour: Number(price) }) } });
  const least = plan.complete ? "" : "at least ";
  const between = (low, high) => (low === high ? low : `${low} to ${high}`);
  const number = (n) => (n >= 100 ? count(Math.round(n)) : String(Number(n.toPrecision(3))));
  const usd = (n) => (n > 0 && n < 0.01 ? "less than 0.01 USD" : `${number(n)} USD`);
  const { speed } = plan;
  const facts = [
    ["Images", `${least}${count(plan.images)} in ${count(plan.shards)} shard${plan.shards === 1 ? "" : "s"}`],
    ["Passes a mask", `${count(plan.forward_passes)} forward, ${count(plan.backward_passes)} backward`],
    ["Speed", speed ? `${between(number(speed.low), number(speed.high))} images/s and device (${speed.reason})` : "not known"],
    ...(speed ? [["Device time", least + between(duration(plan.device_seconds_low), duration(plan.device_seconds_high))]] : []),
    ...plan.workers.map((w) => [`${count(w.workers)} worker${w.workers > 1 ? "s" : ""}`, least + between(duration(w.seconds_low), duration(w.seconds_high))]),
    ...(plan.workers_for_deadline ? [[`Within ${number(hours)} h`, `${between(...plan.workers_for_deadline.map((n) => (n === null ? "no number" : count(n))))} workers`]] : []),
    ...(plan.device_usd ? [["Devices", `${between(...plan.device_usd.map(number))} USD`]] : []),
    ...(plan.worker_bytes ? [["Memory", `about ${bytes(plan.worker_bytes)} a worker on the CPU`]] : []),
    ["In the bucket", `${bytes(plan.bucket_bytes + plan.picture_bytes)}, ${usd(plan.storage_usd_month)} a month`],
    ["Requests", `${count(plan.put_requests)} PUT, ${count(plan.get_requests)} GET, ${usd(plan.request_usd)}`],
    ["Database", bytes(plan.database_bytes)],
    ...(plan.since ? [["Since", plan.since.sentence]] : []),
    ...plan.notes.map((note) => ["Note", note]),
  ];
  $("estimate").replaceChildren(...facts.flatMap(([k, v]) => [h("dt", null, k), h("dd", null, v)]));
  $("estimate").hidden = false;
}

async function trial() {
  $("trial").hidden = false;
  $("trial").replaceChildren(h("p.soft", null, "A worker is explaining the first image …"));
  let { job } = await api("/v1/jobs/test", { method: "POST", body: asked() });
  while (!["succeeded", "partial", "failed", "cancelled"].includes(job.state)) {
    await new Promise((done) => setTimeout(done, 700));
    job = await api(`/v1/jobs/${job.id}`);
  }
  const [one] = (await api(`/v1/jobs/${job.id}/results`)).items;
  const base = `/v1/jobs/${job.id}/results/0`;
  $("trial").replaceChildren(...(one?.has_mask ? [h("img", { alt: "Photograph", src: `${base}/photo.jpg?size=480` }), h("img", { alt: "Overlay", src: `${base}/overlay.png?size=480` })] : []), h("p.soft", null, one ? `${words(one.status)}. Predicted ${one.prediction_name ?? one.prediction ?? "nothing"}; kept ${decimal(one.kept)}, removed ${decimal(one.removed)}. ${one.error || ""}` : job.error || "No result."));
}

const attempt = (button, work) => async () => {
  button.disabled = true;
  showRefusal(null);
  try { await work(); } catch (error) { showRefusal(error); } finally { button.disabled = false; }
};

if (form) {
  $("new").addEventListener("click", () => showErrors(open));
  $("close").addEventListener("click", () => showErrors(open));
  form.model.addEventListener("change", () => showErrors(picked));
  form.elements.method.addEventListener("change", () => methodPicked(form));
  form.elements.dataset.addEventListener("change", () => showErrors(preview));
  form.photographs.addEventListener("change", sent);
  $("estimate-button").addEventListener("click", attempt($("estimate-button"), estimate));
  $("trial-button").addEventListener("click", attempt($("trial-button"), trial));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    attempt(button, async () => {
      const { job } = await submit();
      location.assign(`/jobs/${job.id}`);
    })();
  });
}
