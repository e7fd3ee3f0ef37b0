import { $, api, count, decimal, duration, h, may, percent, repeat, showErrors, showPage, state, toast, when, words } from "/static/ui.js";

const id = location.pathname.split("/")[2];
const { audit_states: states, audit_verdicts: groupsOf } = await api("/v1/vocabulary");
const gone = groupsOf.find((group) => !group.verdicts.length);
let audit = null, shown = "";

const open = () => states.some(({ name, ended }) => name === audit.state && !ended);
const picture = (finding, name) => `/v1/audits/${audit.id}/findings/${finding.id}/pictures/${name}`;

async function decide(finding, changes) {
  await api(`/v1/audits/${audit.id}/findings/${finding.id}`, { method: "PATCH", body: changes });
  await load();
}

function decisions(finding) {
  if (!may.submit || finding.history === "gone") return null;
  const act = (text, work) => h("button", { type: "button", onclick: () => showErrors(work) }, text);
  const nodes = [];
  if (!finding.accepted) nodes.push(act("Accept", () => decide(finding, { accepted: true })));
  if (finding.dismissed) nodes.push(act("Take back", () => decide(finding, { dismissed: "" })));
  else nodes.push(act("Dismiss", async () => {
    const reason = prompt("Why does it not matter? It stays dismissed unless it grows.");
    if (reason && reason.trim()) await decide(finding, { dismissed: reason.trim() });
  }));
  nodes.push(act(finding.note ? "Change note" : "Note", async () => {
    const note = prompt("Note", finding.note);
    if (note !== null) await decide(finding, { note });
  }));
  nodes.push(act(finding.assignee ? "Assign anew" : "Assign", async () => {
    const assignee = prompt("To whom?", finding.assignee);
    if (assignee !== null) await decide(finding, { assignee });
  }));
  return h(".row", null, ...nodes);
}

// Where an image of a finding is shown; of several labels, with the one that was tested.
const imagePage = (finding, row) => `/jobs/${audit.job_id}/gallery?${new URLSearchParams({ row, ...(audit.summary?.each_label && { target: finding.class_index }) })}`;

function card(finding) {
  const r = finding.record;
  const tested = r.number_tested > 0 && finding.kind !== "property";
  const tags = [words(finding.verdict), audit.summary?.previous || finding.history === "gone" ? finding.history : null, finding.accepted ? "accepted" : null, finding.dismissed ? "dismissed" : null, finding.assignee ? `for ${finding.assignee}` : null];
  const pictures = (r.pictures || []).map((p, i) => {
    const shown = h("img", { src: picture(finding, p.name), alt: `Image ${i + 1} of ${finding.class_name}, the place outlined`, loading: "lazy" });
    return p.row === null ? shown : h("a", { href: imagePage(finding, p.row) }, shown); // an earlier audit explained it, in another job
  });
  const numbers = tested ? h("p.soft", null, `Removed from ${count(r.used)} images: ${decimal(r.removal, 2)} (≥ ${decimal(r.removal_lower, 2)}). Pasted into others: ${decimal(r.transplant, 2)} (≥ ${decimal(r.transplant_lower, 2)}), ${percent(r.flips)} become the class. p ${r.p.toPrecision(2)}, q ${r.q.toPrecision(2)}, ${count(r.number_tested)} tested.`) : null;
  return h(`article.finding${finding.dismissed || finding.history === "gone" ? ".faded" : ""}`, { id: `finding-${finding.id}` },
    h(".row.spread", null, h("h3", null, finding.class_name, h("span.soft", null, ` ${r.where || r.property || "changing places"}`)), h("p.row", null, ...tags.filter(Boolean).map((t) => h("span.tag", null, t)))),
    h("p", null, finding.history === "gone" ? gone.meaning : finding.sentence),
    ...(r.goes_with || []).map((one) => h("p.soft", null, `The images of the cluster ${one.words} (q ${one.q.toPrecision(2)}).`)),
    r.before ? h("p.soft", null, `Before: ${r.before}.`) : null,
    pictures.length ? h(".strip", null, r.crop ? h("img.crop", { src: picture(finding, r.crop), alt: "The crop", loading: "lazy" }) : null, ...pictures) : null,
    r.view && r.rows?.length ? h("p", null, h("a", { href: r.view }, `Show these ${count(r.rows.length)} images in the gallery`)) : null,
    finding.dismissed ? h("p.soft", null, `Dismissed${finding.decided_by ? ` by ${finding.decided_by}` : ""}: ${finding.dismissed}`) : null,
    finding.note ? h("p.soft", null, `Note: ${finding.note}`) : null,
    h("details", null, h("summary", null, "Numbers and images"), numbers,
      r.rows?.length ? h("p.soft", null, "Rows: ", ...r.rows.flatMap((row, i) => [i ? ", " : "", h("a", { href: imagePage(finding, row) }, String(row))])) : null,
      r.command ? h("p.soft", null, "Repeat: ", h("code", null, r.command)) : null),
    decisions(finding));
}

function groups() {
  const all = audit.findings;
  const present = all.filter((f) => f.history !== "gone");
  const sections = groupsOf.map((group) => [group === gone ? all.filter((f) => f.history === "gone") : present.filter((f) => group.verdicts.includes(f.verdict)), group.title, group.meaning]);
  return sections.filter(([list]) => list.length).map(([list, title, text]) => h("section.panel", { "aria-label": title }, h("h2", null, `${title} (${count(list.length)})`), h("p.soft", null, text), ...list.map(card)));
}

// The same question once more. The page has no picture of a mark to ask with, and one of the job asks otherwise than until settled.
const repeats = () => !audit.options.until_settled && !audit.options.patch;
const again = () => ({ classes: audit.options.classes.map(String), seed: audit.settings.seed, training: audit.options.training || null });

function actions() {
  const nodes = [];
  if (may.submit && open()) nodes.push(h("button.danger", { type: "button", onclick: () => showErrors(async () => { await api(`/v1/audits/${id}`, { method: "DELETE" }); await load(); }) }, "Cancel"));
  if (may.submit && audit.screened_at && ["screened", "failed", "cancelled"].includes(audit.state)) nodes.push(h("button.primary", { type: "button", onclick: () => showErrors(async () => { await api(`/v1/audits/${id}/confirm`, { method: "POST" }); await load(); }) }, "Test the candidates"));
  if (may.submit && audit.state === "done" && repeats()) nodes.push(h("button", { type: "button", onclick: () => showErrors(async () => { const { audit: made } = await api(`/v1/jobs/${audit.job_id}/audit`, { method: "POST", body: again() }); location.assign(`/audits/${made.id}`); }) }, "Audit again"));
  if (may.submit && audit.state === "done") nodes.push(h("button", { type: "button", title: "Explain a sample again and compare the masks bit by bit", onclick: () => showErrors(async () => { const task = await api(`/v1/audits/${id}/verify`, { method: "POST", body: {} }); toast(`A worker explains a sample again: task ${task.id}.`); }) }, "Verify"));
  $("actions").replaceChildren(...nodes);
}

function summary() {
  const s = audit.summary, p = audit.plan;
  const figures = s
    ? [[count(s.shortcuts), s.shortcuts === 1 ? "shortcut confirmed" : "shortcuts confirmed"], [count(s.verdicts.relies_on || 0), "places that classes are recognised by"], [`${count(s.number_tested)} of ${count(s.proposed)}`, "candidates tested"], [count(s.images), `masks of ${count(s.classes)} classes${s.each_label ? ", one of each label of an image" : ""}`]]
    : p?.settling ? [[count(p.candidates), "candidates"], [p.settling.device_s ? duration(p.settling.device_s) : "unknown", "on a device, with the newest instalment"]]
    : p ? [[count(p.candidates), "candidates"], [count(p.answers), "answers of the network, at most"], [p.estimate_s === null ? "unknown" : duration(p.estimate_s), "on a device"]] : [];
  const at = p?.settling;
  if (!s && at) figures.push([`${count(at.images)} / ${count(at.listed)}`, "images, of the dataset"], [`${count(at.settled)} / ${count(at.classes)}`, "classes settled"], [count(at.instalment), "instalments"]);
  if (s?.settled) figures.push([percent(s.settled.saved), `of ${count(s.settled.listed)} images not explained`], [`${count(s.settled.classes - s.settled.open)} / ${count(s.settled.classes)}`, "classes settled"]);
  const now = audit.progress && audit.state !== "explaining" && open() ? [[audit.progress.total ? `${count(audit.progress.done)} / ${count(audit.progress.total)}` : "…", audit.state === "screening" ? "images read" : "candidates tested"]] : [];
  $("figures").replaceChildren(...[...figures, ...now].map(([value, text]) => h("", null, h("strong", null, value), h("span", null, text))));
  const notes = [...(s ? s.notes : []), ...(p?.refused ? [`Not tested: ${p.refused}`] : []), ...(audit.state === "failed" && audit.reason ? [audit.reason] : [])];
  if (open() && !notes.length) notes.push("This page follows the audit.");
  $("notes").replaceChildren(...notes.map((n) => h("li", null, n)));
  $("limits-panel").hidden = !s?.limits.length;
  $("limits").replaceChildren(...(s?.limits || []).map((l) => h("li", null, l.sentence)));
  $("nothing-panel").hidden = !s?.settled?.nothing.length;
  $("excluded").textContent = s?.settled?.excluded || "";
  $("nothing").replaceChildren(...(s?.settled?.nothing || []).map((one) => h("li", null, one.sentence)));
  const after = audit.options.until_settled?.after;
  const facts = [["Requested", `${when(audit.created_at)}${audit.owner ? ` by ${audit.owner}` : ""}`], ["Done", when(audit.done_at) || "not yet"], ["Job", audit.job_id], ...[["Goes on from", after], ["Gone on from by", audit.plan?.followed_by]].filter(([, other]) => other).map(([k, other]) => [k, h("a", { href: `/audits/${other}` }, other)]), ...(audit.options.training ? [["Training images", h("a", { href: `/jobs/${audit.options.training}` }, `of job ${audit.options.training}`)]] : []), ["Settings", audit.settings_digest.slice(0, 12)], ...(s ? [["The network answered for", `${count(s.answers)} pictures`], ["Boxes", `of ${count(s.boxed)} images`], ["Audit before", s.previous ? h("a", { href: `/audits/${s.previous}` }, s.previous) : "none"]] : [])];
  $("facts").replaceChildren(...facts.flatMap(([k, v]) => [h("dt", null, k), h("dd", null, v)]));
  $("settings").textContent = JSON.stringify(audit.settings, null, 2);
}

async function load() {
  audit = await api(`/v1/audits/${id}`);
  const now = JSON.stringify(audit);
  if (now === shown) return;
  shown = now;
  document.title = `Audit ${audit.id} · gfi`;
  $("job").href = `/jobs/${audit.job_id}`;
  $("sub").replaceChildren(state(audit.state));
  actions();
  summary();
  $("findings").replaceChildren(...groups());
  showPage();
}

await showErrors(load);
repeat(1500, async () => { if (audit && open()) await showErrors(load); });
