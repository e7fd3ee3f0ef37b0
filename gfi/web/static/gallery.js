// A gallery of thousands of explained images: only the cards in view exist, and results are fetched by page while scrolling.
import { $, api, count, decimal, empty, fill as fillTable, follow, h, debounce, may, percent, toast, showErrors, words } from "/static/ui.js";

const id = location.pathname.split("/")[2];
const parameters = new URLSearchParams(location.search);
const grid = $("grid");
const vocabulary = await api("/v1/vocabulary");
const statuses = vocabulary.statuses.map((status) => status.name);
const numbers = [...vocabulary.columns, ...vocabulary.metrics.flatMap((metric) => metric.columns)].map((column) => column.name);
const options = (list) => list.map(([value, text]) => h("option", { value }, text));
let job = null, items = [], next = null, complete = true, loading = null, chosen = 0, descending = false, flags = new Map(), classes = [], others = new Map(), cut = false, ownName = "this job", otherName = "", watching = 0, seen = 0;
const cards = new Map();

$("status").replaceChildren(...options([["", "any"], ...statuses.map((s) => [s, words(s)])]));
$("sort").replaceChildren(...options([["row", "listing order"], ...numbers.map((n) => [n, words(n)])]));
$("metric").replaceChildren(...options([["", "any number"], ...numbers.map((n) => [n, words(n)])]));
for (const name of ["map", "view", "opacity"]) { const kept = localStorage.getItem(`gfi-${name}`); if (kept) $(name).value = kept; }
if (parameters.has("status")) $("status").value = parameters.get("status");

// One card for each explanation: an image of a job with several classes has several cards.
const rank = (item) => (item.target_rank ? { target_rank: item.target_rank } : {});
const picture = (owner, item, kind, more) => `/v1/jobs/${owner}/results/${item.row}/${kind}?${new URLSearchParams({ v: item.picture, ...(kind === "photo.jpg" ? {} : rank(item)), ...more })}`;
const masked = (owner, item, size, map) => picture(owner, item, "mask.png", { size, map });

let linked = new URLSearchParams(location.search).get("row"); // the one image that a finding links to

function query() {
  const q = new URLSearchParams({ limit: 200, sort: $("sort").value, descending });
  const pairs = { search: $("search").value.trim(), status: $("status").value };
  for (const [k, v] of Object.entries(pairs)) if (v) q.set(k, v);
  const predicted = predictedClass();
  if (predicted !== null) q.set("prediction", predicted);
  if (condition()) q.append("where", condition());
  if ($("flagged").checked) q.set("flagged", "true");
  const [low, high] = [$("low").value, $("high").value];
  if ($("metric").value && (low || high)) {
    q.set("metric", $("metric").value);
    if (low) q.set("at_least", low);
    if (high) q.set("at_most", high);
  }
  return q;
}

// The condition on a further column of the manifest, or "".
const condition = () => ($("column").value && $("column-value").value.trim() ? `${$("column").value}${$("column-is").value}${$("column-value").value.trim()}` : "");

// The class named in the box: its index, null for an empty box, -1 for a name that is not (yet) that of a class.
function predictedClass() {
  const wanted = $("prediction").value.trim().toLowerCase();
  if (!wanted) return null;
  const index = classes.findIndex((name) => name.toLowerCase() === wanted);
  if (index >= 0 || !/^\d{1,9}$/.test(wanted)) return index;
  return classes.length && Number(wanted) >= classes.length ? -1 : Number(wanted);
}

// One request at a time. `complete` is true until the list is started, so that drawing before the job is known requests nothing.
async function fetchMore() {
  if (complete || loading) return;
  if (predictedClass() === -1) { complete = true; return summary(); }
  const q = query();
  if (next) q.set("after", next);
  const mine = linked === null ? api(`/v1/jobs/${id}/results?${q}`) : api(`/v1/jobs/${id}/results/${encodeURIComponent(linked)}`).then((item) => ({ items: [item], next: null }));
  loading = mine;
  try {
    const page = await mine;
    if (loading !== mine) return; // the list was restarted meanwhile: this answer is outdated
    items.push(...page.items);
    next = page.next;
    complete = !next;
  } finally { if (loading === mine) loading = null; }
  summary();
  draw();
}

// The filters and the order of the page decide what is shown, and no longer the address that led here.
async function restart() {
  linked = null;
  await list();
}

async function list() {
  items = []; next = null; complete = false; chosen = 0; loading = null;
  grid.removeAttribute("aria-activedescendant");
  for (const card of cards.values()) card.remove();
  cards.clear();
  $("empty").hidden = true;
  $("fresh").hidden = true;
  seen = job?.progress.done ?? 0;
  if (grid.getBoundingClientRect().top < 0) reveal(0);
  await showErrors(fetchMore);
}

function summary() {
  $("keys").hidden = !items.length;
  const top = job?.config.top ?? 1, total = (job?.progress.total ?? 0) * top, unit = top > 1 ? "explanations" : "images";
  $("shown").textContent = complete ? `${count(items.length)} ${unit}` : `${count(items.length)}${total ? ` of up to ${count(total)}` : ""} ${unit} loaded; more as you scroll`;
  const unknown = predictedClass() === -1;
  $("prediction").setAttribute("aria-invalid", String(unknown));
  if (unknown) empty("No such class", `This model has no class called “${$("prediction").value.trim()}”. The box lists its classes as you type.`);
  else if (!items.length && complete) {
    const filtered = [...query()].some(([k]) => !["limit", "sort", "descending"].includes(k));
    empty(filtered ? "No image matches" : "No results yet", filtered ? "Clear the filters to see all images." : ended(job) ? "This job ended before an image was explained." : "The first ones appear as soon as a worker has committed them.");
  } else $("empty").hidden = true;
}

// -- the grid ---------------------------------------------------------------------------------------------
const GAP = 14, TEXT = 56;
function shape() {
  const width = grid.clientWidth;
  const panes = panesOf();
  const wanted = panes === 1 ? 230 : panes === 2 ? 400 : 540;
  const columns = Math.max(1, Math.floor((width + GAP) / (wanted + GAP)));
  const w = (width - GAP * (columns - 1)) / columns;
  return { columns, w, h: Math.round(Math.max(120, (w / panes) * 0.8)) + TEXT, panes };
}
const panesOf = () => ($("view").value === "compare" ? 3 : 1) + ($("comparison").value ? 1 : 0);

function draw() {
  const { columns, w, h: height } = shape();
  const rows = Math.ceil(items.length / columns);
  grid.style.height = `${Math.max(0, rows * (height + GAP) - GAP)}px`;
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor((top - 600) / (height + GAP))) * columns;
  const last = Math.min(items.length, (Math.ceil((top + innerHeight + 600) / (height + GAP)) + 1) * columns);
  for (const [index, card] of cards) if (index < first || index >= last) { card.remove(); cards.delete(index); }
  for (let index = first; index < last; index += 1) {
    let card = cards.get(index);
    if (!card) { card = make(index); cards.set(index, card); grid.append(card); }
    const column = index % columns, line = Math.floor(index / columns);
    card.style.width = `${w}px`;
    card.style.height = `${height}px`;
    card.style.transform = `translate(${column * (w + GAP)}px, ${line * (height + GAP)}px)`;
    card.setAttribute("aria-selected", String(index === chosen));
  }
  if (cards.has(chosen)) grid.setAttribute("aria-activedescendant", `card-${chosen}`);
  else grid.removeAttribute("aria-activedescendant");
  if (!complete && last > items.length - columns * 12) showErrors(fetchMore);
}

function stack(owner, item, { theirs = item, photo = true, mask = true, size = 384, label = "", plain = false }) {
  const pic = h("span.pic");
  const missing = (text) => () => pic.append(h("em", null, text));
  const map = $("map").value;
  if (photo) pic.append(h("img", { src: picture(id, item, "photo.jpg", { size }), alt: "", decoding: "async", onerror: missing("no photograph") }));
  if (mask && theirs.has_mask) pic.append(h(plain ? "img" : "img.over", { src: masked(owner, theirs, size, map), alt: "", decoding: "async", onerror: missing("no mask") }));
  if (mask && !theirs.has_mask && (!photo || theirs !== item)) pic.append(h("em", null, theirs.why || "no mask"));
  if (label) pic.append(h("b", null, label));
  return pic;
}

const place = (item) => `${item.target_rank} ${item.key}`;
// Images are matched by key, because the other job may have other rows, and only if both jobs explained the same bytes.
function counterpart(item) {
  const same = others.get(place(item));
  const why = !same ? "not explained yet" : same.version !== item.version ? "another version was explained" : same.has_mask ? "" : words(same.status);
  return why ? { ...item, has_mask: false, why } : same;
}

// Pictures of an image that could not be read are not requested; the reason is shown instead.
function panes(item, size) {
  if (item.status === "error" || item.status === "changed") return [h("span.pic", null, h("em", null, item.error || words(item.status)))];
  const view = $("view").value;
  const other = $("comparison").value;
  const list = [];
  if (view !== "overlay") list.push(stack(id, item, { mask: false, size }));
  if (view === "compare") list.push(stack(id, item, { photo: false, plain: true, size }));
  if (view !== "photo") list.push(stack(id, item, { size, label: other ? ownName : "" }));
  if (other) list.push(stack(other, item, { theirs: counterpart(item), size, label: otherName }));
  return list;
}

function make(index) {
  const item = items[index];
  const flag = flags.get(item.row);
  const name = item.key.split("/").pop();
  const right = item.status === "ok" ? (numbers.includes($("sort").value) ? `${words($("sort").value)} ${decimal(item[$("sort").value])}` : percent(item.probability)) : "";
  return h("div.card", { id: `card-${index}`, role: "option", "data-row": item.row, onclick: () => { choose(index); openViewer(); } },
    h("span.pics", null, ...panes(item, 384)),
    h("span.text", null, h("p", { title: item.key }, flag ? h("span.mark", { title: flag.note }, "⚑ ") : "", name), h("p", null, h("span.state", null, h(`i.dot.c-${item.status}`), item.status === "ok" ? item.target_name ?? String(item.target ?? "") : words(item.status)), h("span", null, right))));
}

function remake() {
  for (const card of cards.values()) card.remove();
  cards.clear();
  draw();
}

function reveal(index) {
  const { columns, h: height } = shape();
  const top = grid.getBoundingClientRect().top + Math.floor(index / columns) * (height + GAP);
  const head = $("tools").offsetHeight + 8;
  if (top < head) scrollBy(0, top - head);
  else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight + 8);
}

function choose(index) {
  chosen = Math.max(0, Math.min(items.length - 1, index));
  reveal(chosen);
  draw();
  if ($("viewer").open) openViewer();
}

// -- one image ------------------------------------------------------------------------------------------
async function openViewer() {
  const item = items[chosen];
  if (!item) return;
  $("viewer-name").textContent = item.key;
  $("place").textContent = `${count(chosen + 1)} of ${count(items.length)}${complete ? "" : "+"}`;
  $("stage").replaceChildren(...panes(item, Math.min(1600, Math.max(960, innerWidth))));
  const facts = [["Status", words(item.status)], ["Error", item.error], ["Target", item.target_name ?? item.target], ["Predicted", item.prediction_name ?? item.prediction], ["Label", item.label], ...Object.entries(item.columns), ["Probability", percent(item.probability)], ["Kept", percent(item.kept)], ["Removed", percent(item.removed)], ...numbers.filter((n) => !["probability", "kept", "removed"].includes(n)).map((n) => [words(n), n === "iterations" ? item[n] : decimal(item[n])])];
  $("viewer-about").replaceChildren(h("dl.facts", null, ...facts.filter(([, v]) => v !== null && v !== undefined && v !== "").flatMap(([k, v]) => [h("dt", null, k), h("dd", null, String(v))]), ...(item.from_job ? [h("dt", null, "Carried from"), h("dd", null, h("a", { href: `/jobs/${item.from_job}` }, item.from_job))] : []), h("dt", null, "Mask"), h("dd", null, item.has_mask ? h("a", { href: picture(id, item, "mask.npy", {}), download: "" }, "float32 .npy") : "none")));
  if (item.has_mask) showErrors(() => showNotes(item));
  const flag = flags.get(item.row);
  $("flag-kind").value = flag?.flag ?? "look";
  $("flag-note").value = flag?.note ?? "";
  $("unflag").hidden = !flag;
  $("flag-owner").textContent = flag ? `Flagged by ${flag.owner}` : "";
  $("flag-form").hidden = !may.submit;
  if (!$("viewer").open) $("viewer").showModal();
}

// What was done to the photograph's values and boxes is stored only in the part, so it is requested for single images.
async function showNotes(item) {
  const { window: applied, repairs } = await api(`/v1/jobs/${id}/results/${item.row}?target_rank=${item.target_rank}`);
  if (items[chosen] !== item) return;
  const unsaid = (repairs ?? []).filter((r) => !(item.error ?? "").includes(r));
  const notes = [applied && ["Values", `${applied.low} is black and ${applied.high} white (${applied.source})`], unsaid.length && ["Boxes", unsaid.join("; ")]].filter(Boolean);
  $("viewer-about").querySelector("dl").append(...notes.flatMap(([k, v]) => [h("dt", null, k), h("dd", null, v)]));
}

async function setFlag(remove) {
  const item = items[chosen];
  const path = `/v1/jobs/${id}/results/${item.row}/flag`;
  if (remove) { await api(path, { method: "DELETE" }); flags.delete(item.row); }
  else {
    const body = { flag: $("flag-kind").value, note: $("flag-note").value };
    await api(path, { method: "PUT", body });
    flags.set(item.row, { ...body, owner: (await api("/v1/me")).name });
  }
  toast(remove ? "Flag removed" : "Flagged");
  remake();
  if ($("viewer").open) openViewer();
}

$("flag-form").addEventListener("submit", (event) => { event.preventDefault(); showErrors(() => setFlag(false)); });
$("unflag").addEventListener("click", () => showErrors(() => setFlag(true)));
for (const [name, step] of [["before", -1], ["after", 1]]) $(name).addEventListener("click", () => choose(chosen + step));
$("viewer-close").addEventListener("click", () => $("viewer").close());
$("viewer").addEventListener("close", () => grid.focus({ preventScroll: true }));

document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName);
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !items.length) return;
  const columns = $("viewer").open ? 1 : shape().columns;
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, j: 1, k: -1, Home: -items.length, End: items.length };
  if (event.key in moves) { event.preventDefault(); choose(chosen + moves[event.key]); }
  else if (event.key === "Enter" && [grid, document.body].includes(document.activeElement)) { event.preventDefault(); openViewer(); }
  else if (event.key === "f" || event.key === "F") { event.preventDefault(); openViewer(); $("flag-note").focus(); }
  else if (event.key === "[" || event.key === "]") { $("opacity").value = Number($("opacity").value) + (event.key === "]" ? 10 : -10); opacity(); }
});

function opacity() {
  const value = $("opacity").value;
  $("viewer-opacity").value = value;
  document.documentElement.style.setProperty("--opacity", value / 100);
  $("opacity-value").textContent = `${value} %`;
  localStorage.setItem("gfi-opacity", value);
}

opacity();
$("opacity").addEventListener("input", opacity);
$("viewer-opacity").addEventListener("input", () => { $("opacity").value = $("viewer-opacity").value; opacity(); });
for (const name of ["map", "view"]) $(name).addEventListener("change", () => { localStorage.setItem(`gfi-${name}`, $(name).value); remake(); });
// -- comparison with another method or another job -----------------------------------------------------------
const methods = { paper: "Paper", released: "Released", tuned: "Tuned", ...Object.fromEntries(vocabulary.methods.map((m) => [m.name, m.title])) };
const ended = (one) => ["succeeded", "partial", "failed", "cancelled"].includes(one.state);
const MOST = 20000; // results of the other job that are kept

async function offerComparisons(selected = "") {
  const offered = await api(`/v1/jobs/${id}/methods`);
  const own = offered.methods.find((m) => m.own);
  if (own) ownName = methods[own.method];
  const by = offered.methods.filter((m) => !m.own).map((m) => {
    const name = methods[m.method];
    if (m.job) return h("option", { value: m.job.id, "data-name": name }, ended(m.job) ? name : `${name} (running)`);
    return h("option", { value: `+${m.method}`, "data-name": name, disabled: !may.submit || m.reason !== null, title: m.reason }, m.reason ? `${name}: not possible with this model` : `${name}: explain …`);
  });
  const taken = new Set(offered.methods.filter((m) => m.job).map((m) => m.job.id));
  const rest = offered.jobs.filter((o) => !taken.has(o.id) && o.progress.done).map((o) => h("option", { value: o.id, "data-name": (o.name || o.preset).slice(0, 24) }, o.name || `${o.preset} ${o.id}`));
  $("comparison").replaceChildren(h("option", { value: "" }, "nothing"), h("optgroup", { label: "Another method" }, ...by), ...(rest.length ? [h("optgroup", { label: "Another job" }, ...rest)] : []));
  $("comparison").value = selected;
}

async function compare() {
  const mine = (watching += 1);
  others = new Map();
  let value = $("comparison").value;
  $("comparison-state").textContent = "";
  if (value.startsWith("+")) {
    const method = value.slice(1);
    if (!confirm(`Explain ${job.progress.total === null ? "these" : `these ${count(job.progress.total)}`} images with ${methods[method]} as well? This submits another job.`)) {
      $("comparison").value = "";
      return remake();
    }
    try {
      value = (await api(`/v1/jobs/${id}/methods`, { method: "POST", body: { method } })).job.id;
    } catch (error) {
      $("comparison").value = "";
      throw error;
    }
    await offerComparisons(value);
  }
  if (!value) return remake();
  otherName = $("comparison").selectedOptions[0].dataset.name;
  for (let had = -1; mine === watching; ) {
    const other = await api(`/v1/jobs/${value}`);
    const done = other.progress.done;
    // The results of a running job are read again when they have grown by a tenth.
    if (done > had * 1.1 || (ended(other) && done !== had)) { await fill(value, mine); had = done; }
    if (mine !== watching) return;
    $("comparison-state").replaceChildren(ended(other) ? (cut ? `${otherName}: the first ${count(others.size)} explanations` : "") : other.progress.total === null ? `${otherName}: its dataset is being listed` : `${otherName}: ${count(done)} of ${count(other.progress.total)} images`, " ", ended(other) && !done ? h("a", { href: `/jobs/${value}` }, `${otherName}: ${words(other.state)}`) : "");
    if (ended(other)) return void (await offerComparisons(value));
    await new Promise((then) => setTimeout(then, 2500));
  }
}

async function fill(other, mine) {
  const results = new Map();
  let after = null;
  do {
    const page = await api(`/v1/jobs/${other}/results?limit=1000${after ? `&after=${after}` : ""}`);
    for (const one of page.items) results.set(place(one), one);
    after = page.next;
  } while (after && results.size < MOST && mine === watching);
  if (mine !== watching) return;
  cut = Boolean(after);
  others = results;
  remake();
  if ($("viewer").open) openViewer();
}

// While the job runs, its first results appear automatically and later ones on request, so that nothing moves on the screen.
function followJob() {
  if (ended(job)) return;
  follow(id, (data) => {
    if (data.state === "deleted") return;
    Object.assign(job, { state: data.state, progress: data.progress });
    const more = job.progress.done - seen;
    if (more > 0 && !items.length) { restart(); return; }
    $("fresh").textContent = `${count(more)} more explained: show`;
    $("fresh").hidden = more <= 0;
  });
}

// -- further columns of the manifest ---------------------------------------------------------------------------
function offerColumns() {
  const columns = Object.keys(job.facts?.columns ?? {});
  $("column-field").disabled = !columns.length;
  $("column").replaceChildren(...options([["", "any"], ...columns.map((name) => [name, name])]));
  $("group").replaceChildren(...options([["", "nothing"], ...columns.map((name) => [name, name]), ...["label", "prediction", "target", "status"].filter((name) => !columns.includes(name)).map((name) => [name, words(name)])]));
}

const groupsOf = (by, where = "") => api(`/v1/jobs/${id}/groups?${new URLSearchParams({ by, ...(where ? { where } : {}) })}`);

// The suggestions of the value box: the column's most frequent values.
async function offerValues() {
  const groups = $("column").value ? (await groupsOf($("column").value)).groups : [];
  $("column-values").replaceChildren(...groups.filter((g) => g.value !== null).slice(0, 100).map((g) => h("option", { value: String(g.value) })));
}

let grouping = 0;
async function showGroups() {
  const mine = (grouping += 1);
  const by = $("group").value;
  if (!by) { $("groups-panel").hidden = true; return draw(); }
  const { groups, more } = await groupsOf(by, condition());
  if (mine !== grouping) return;
  const shown = ["probability", "kept", "removed", "area", ...numbers.filter((n) => !["probability", "kept", "removed", "area", "iterations"].includes(n))].filter((n) => groups.some((g) => g.means[n]));
  $("groups-head").replaceChildren(h("th", null, words(by)), h("th.num", null, "Images"), h("th.num", null, "Explained"), ...shown.map((n) => h("th.num", null, words(n))));
  const name = (value) => (value === null ? "no value" : (by === "prediction" || by === "target") ? classes[value] ?? String(value) : String(value));
  const cell = (group) => (job.facts?.columns?.[by] && group.value !== null ? h("button.quiet", { type: "button", onclick: () => only(by, group.value) }, name(group.value)) : name(group.value));
  fillTable($("groups"), groups.map((g) => h("tr", null, h("td", null, cell(g)), h("td.num", null, count(g.images)), h("td.num", null, count(g.counts.ok ?? 0)), ...shown.map((n) => h("td.num", null, decimal(g.means[n]?.mean))))));
  $("groups-more").hidden = !more;
  $("groups-more").textContent = `These are the ${count(groups.length)} largest groups; there are more.`;
  $("groups-panel").hidden = false;
  draw();
  return undefined;
}

// Only the images of one group.
function only(column, value) {
  $("column").value = column;
  $("column-is").value = "=";
  $("column-value").value = String(value);
  restart();
}

$("column").addEventListener("change", () => { $("column-value").value = ""; showErrors(offerValues); restart(); if ($("group").value) showErrors(showGroups); });
for (const name of ["column-is", "column-value"]) $(name).addEventListener("change", () => { restart(); if ($("group").value) showErrors(showGroups); });
$("group").addEventListener("change", () => showErrors(showGroups));
$("fresh").addEventListener("click", restart);
$("comparison").addEventListener("change", () => showErrors(compare));
for (const name of ["status", "sort", "flagged", "metric", "prediction"]) $(name).addEventListener("change", restart);
for (const name of ["search", "low", "high"]) $(name).addEventListener("input", debounce(300, restart));
$("direction").addEventListener("click", () => { descending = !descending; $("direction").setAttribute("aria-pressed", String(descending)); $("direction").textContent = descending ? "↓" : "↑"; restart(); });
$("more-tools").addEventListener("click", () => $("more-tools").setAttribute("aria-expanded", String($("tools").classList.toggle("open"))));
let asked = false;
const soon = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); } };
addEventListener("scroll", soon, { passive: true });
new ResizeObserver(soon).observe(grid);

showErrors(async () => {
  job = await api(`/v1/jobs/${id}`);
  $("title").textContent = job.name || "Gallery";
  $("back").href = `/jobs/${id}`;
  $("back").textContent = job.name || job.id;
  $("export").href = `/v1/jobs/${id}/flags?format=csv`;
  document.title = `${job.name || job.id}: gallery · gfi`;
  offerColumns();
  flags = new Map((await api(`/v1/jobs/${id}/flags`)).map((f) => [f.row, f]));
  await list();
  if (linked !== null && items.length) openViewer();
  const [model] = await Promise.all([api(`/v1/models/${encodeURIComponent(job.model)}`).catch(() => null), offerComparisons()]);
  classes = model?.class_names ?? [];
  $("classes").replaceChildren(...classes.map((c) => h("option", { value: c })));
  if ($("prediction").value) restart(); // text that was typed before the classes were known
  followJob();
});
