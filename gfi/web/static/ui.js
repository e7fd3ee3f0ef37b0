// Functions for all pages: requests to the API, elements, formatted numbers. No dependencies.

let me = null;

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `status ${status}`);
    this.status = status;
    this.advice = body.advice || "";
  }
}

export async function api(path, { method = "GET", body, form, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-GFI-CSRF"] = (await whoAmI()).csrf || "";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, signal, body: form || (body === undefined ? undefined : JSON.stringify(body)) });
  if (answer.status === 401) {
    location.assign("/sign-in");
    throw new Problem(401, { detail: "signed out" });
  }
  if (answer.status === 204) return null;
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, data);
  return data;
}

export async function whoAmI() {
  me = me || (await api("/v1/me"));
  return me;
}

export const $ = (id) => document.getElementById(id);

// h("p.soft", { title: "x", onclick: f }, "text", node …)
export function h(what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (name in node && typeof node[name] === "boolean") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (n) => (n === null || n === undefined ? "" : grouped.format(n));
export const decimal = (n, places = 3) => (n === null || n === undefined ? "" : n.toFixed(places));
export const percent = (n) => (n === null || n === undefined ? "" : `${(100 * n).toFixed(n < 0.1 ? 1 : 0)} %`);
export const rate = (n) => (n === null || n === undefined ? "" : n >= 10 ? count(n) : n.toFixed(2));

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.round(s / 86400)} days`;
}

export function bytes(n) {
  if (n < 1e3) return `${n} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let i = -1;
  do { n /= 1000; i += 1; } while (n >= 1000 && i < units.length - 1);
  return `${n.toFixed(n < 10 ? 1 : 0)} ${units[i]}`;
}

export function when(epoch) {
  if (epoch === null || epoch === undefined) return "";
  const date = new Date(epoch * 1000);
  const today = new Date().toDateString() === date.toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return today ? `today ${time}` : `${date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}

const named = { ok: "Explained", empty: "Empty mask", full: "Full mask", constant: "Constant mask", nonfinite: "Not finite", changed: "File changed" };
export const words = (name) => named[name] || name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());
export const state = (name) => h("span.state", null, h(`i.dot.c-${name}`), words(name));

// "1 relies on, 2 suspected"; "none" of an audit that is done and found nothing.
export function findings(audit) {
  const counts = Object.entries(audit.summary?.verdicts || {}).map(([verdict, n]) => `${count(n)} ${words(verdict).toLowerCase()}`);
  return counts.join(", ") || (audit.state === "done" ? "none" : "");
}

// Puts rows into a table; every cell gets its heading as a label, for narrow screens where a row becomes a block.
export function fill(body, rows) {
  const headings = [...body.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const row of rows) [...row.cells].forEach((cell, i) => { cell.dataset.label = headings[i]; });
  body.replaceChildren(...rows);
}

// Shows the page when all of its data has arrived; otherwise each part would push the next ones down.
export const showPage = () => { $("whole").hidden = false; };

export function toast(text, bad = false) {
  if ([...$("toasts").children].some((shown) => shown.textContent === text)) return; // a page with one request per second shows an error once
  const node = h(`p.toast${bad ? ".bad" : ""}`, null, text);
  $("toasts").append(node);
  setTimeout(() => node.remove(), bad ? 9000 : 4000);
}

export async function showErrors(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name === "AbortError" || error.status === 401) return undefined;
    toast(error instanceof Problem ? `${error.message} ${error.advice}` : "The service does not answer. It may be restarting.", true);
    return undefined;
  }
}

export function showRefusal(error) {
  const place = $("refused");
  place.textContent = error ? `${error.message} ${error.advice || ""}` : "";
  place.hidden = !error;
}

export function empty(title, ...text) {
  $("empty").replaceChildren(h("h2", null, title), h("p", null, ...text));
  $("empty").hidden = false;
}

// Call `work` now and every `ms` milliseconds while the page is visible.
export function repeat(ms, work) {
  let timer;
  const run = async () => {
    clearTimeout(timer);
    if (!document.hidden) await work();
    timer = setTimeout(run, ms);
  };
  document.addEventListener("visibilitychange", () => document.hidden || run());
  return run();
}

// Calls `take(data, last)` whenever the progress of a job changes, until it has ended. Only while the page is visible: a
// stream uses one of the six connections that a browser opens to a host, and users open many tabs.
export function follow(job, take) {
  let stream = null, ended = false;
  const listen = () => {
    stream?.close();
    if (ended || document.hidden) return;
    stream = new EventSource(`/v1/jobs/${job}/events`);
    for (const kind of ["progress", "end"]) {
      stream.addEventListener(kind, (event) => {
        if (kind === "end") { ended = true; stream.close(); }
        take(JSON.parse(event.data), ended);
      });
    }
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}

export function debounce(ms, work) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), ms);
  };
}

const themes = ["system", "light", "dark"];
function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  if ($("theme")) $("theme").textContent = `Theme: ${name}`;
}
let chosen = localStorage.getItem("gfi-theme") || "system";
theme(chosen);
$("theme")?.addEventListener("click", () => {
  chosen = themes[(themes.indexOf(chosen) + 1) % themes.length];
  localStorage.setItem("gfi-theme", chosen);
  theme(chosen);
});
$("sign-out")?.addEventListener("click", () => showErrors(async () => location.assign((await api("/sign-out", { method: "POST" })).location)));

// The fields `method` and `preset` of a form: a preset is a recipe of the method gfi.
export const methodOptions = (methods) => methods.map((m) => h("option", { value: m.name, title: `${count(m.forward_passes)} forward and ${count(m.backward_passes)} backward passes a mask, at most` }, m.title));
export const methodPicked = (form) => { form.elements.preset.disabled = form.elements.method.value !== "gfi"; };
export const methodAsked = (form) => (form.elements.method.value === "gfi" ? { preset: form.elements.preset.value } : { method: form.elements.method.value });

export const may = { submit: document.body.dataset.submit === "1", admin: document.body.dataset.admin === "1" };
