// The gallery beside another job: another method, or another job over the same images.
import { $, api, count, h, may, words } from "/static/ui.js";
import { galleryLink, id, vocabularyOf } from "/static/results.js";
import { ended, options, state } from "/static/gallery-state.js";
import { remake, stack } from "/static/gallery-grid.js";

const methods = { paper: "Paper", released: "Released", tuned: "Tuned", ...Object.fromEntries(vocabularyOf.methods.map((m) => [m.name, m.title])) };
const MOST = 20000; // results of the other job that are kept
let others = new Map(), cut = false, own = "this job", otherName = "", watching = 0, refresh = () => {};

export const ownName = () => own;
export const onChange = (work) => { refresh = work; };
const place = (item) => `${item.target_rank} ${item.key}`;

// Images are matched by key, because the other job may have other rows, and only if both jobs explained the same bytes.
function counterpart(item) {
  const same = others.get(place(item));
  const why = !same ? "not explained yet" : same.version !== item.version ? "another version was explained" : same.has_mask ? "" : words(same.status);
  return why ? { ...item, has_mask: false, why } : same;
}

export const otherLabel = () => otherName;
// The photograph with both masks over it; a slider decides how much of each is seen.
export function slidPane(item, size) {
  const theirs = counterpart(item), pic = stack(id, item, { size, label: `${own} | ${otherName}` });
  pic.classList.add("slid");
  if (theirs.has_mask) pic.append(stack($("comparison").value, item, { theirs, photo: false, size }).querySelector(".over"), h("span.seam"));
  else pic.append(h("em", null, theirs.why));
  return pic;
}
export const otherPane = (item, size) => stack($("comparison").value, item, { theirs: counterpart(item), size, label: otherName });

export async function offerComparisons(selected = "") {
  const offered = await api(`/v1/jobs/${id}/methods`);
  const mine = offered.methods.find((m) => m.own);
  if (mine) own = methods[mine.method];
  const by = offered.methods.filter((m) => !m.own).map((m) => {
    const name = methods[m.method];
    if (m.job) return h("option", { value: m.job.id, "data-name": name }, ended(m.job) ? name : `${name} (running)`);
    return h("option", { value: `+${m.method}`, "data-name": name, disabled: !may.submit || m.reason !== null, title: m.reason }, m.reason ? `${name}: not possible with this model` : `${name}: explain …`);
  });
  const taken = new Set(offered.methods.filter((m) => m.job).map((m) => m.job.id));
  const rest = offered.jobs.filter((o) => !taken.has(o.id) && o.progress.done).map((o) => h("option", { value: o.id, "data-name": (o.name || o.preset).slice(0, 24) }, o.name || `${o.preset} ${o.id}`));
  $("comparison").replaceChildren(...options([["", "nothing"]]), h("optgroup", { label: "Another method" }, ...by), ...(rest.length ? [h("optgroup", { label: "Another job" }, ...rest)] : []));
  $("comparison").value = selected;
  $("viewer-comparison").replaceChildren(...$("comparison").cloneNode(true).childNodes);
  $("viewer-comparison").value = $("comparison").value;
}

export async function compare() {
  const mine = (watching += 1);
  others = new Map();
  let value = $("comparison").value;
  $("comparison-state").textContent = "";
  if (value.startsWith("+")) {
    const method = value.slice(1), { total } = state.job.progress;
    if (!confirm(`Explain ${total === null ? "these" : `these ${count(total)}`} images with ${methods[method]} as well? This submits another job.`)) {
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
  if (!value) { remake(); return refresh(); }
  otherName = $("comparison").selectedOptions[0].dataset.name;
  for (let had = -1; mine === watching; ) {
    const other = await api(`/v1/jobs/${value}`);
    const done = other.progress.done;
    // The results of a running job are read again when they have grown by a tenth.
    if (done > had * 1.1 || (ended(other) && done !== had)) { await fill(value, mine); had = done; }
    if (mine !== watching) return undefined;
    $("comparison-state").replaceChildren(ended(other) ? (cut ? `${otherName}: the first ${count(others.size)} explanations` : "") : other.progress.total === null ? `${otherName}: its dataset is being listed` : `${otherName}: ${count(done)} of ${count(other.progress.total)} images`, " ", ended(other) && !done ? h("a", { href: `/jobs/${value}` }, `${otherName}: ${words(other.state)}`) : "");
    if (ended(other)) {
      if (done) $("comparison-state").append(h("a", { href: galleryLink({ differs_from: value }) }, `Only where the prediction differs from ${otherName}`));
      return offerComparisons(value);
    }
    await new Promise((then) => setTimeout(then, 2500));
  }
  return undefined;
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
  refresh();
}
