import { $, api, count, duration, empty, repeat, fill, h, rate, state, showErrors, showPage } from "/static/ui.js";

const about = { explain: "shards of jobs", interactive: "uploads and tests", control: "plans and reports" };
const work = (w) => h("td", null, w.job_id ? [h("a", { href: `/jobs/${w.job_id}` }, w.job_name || w.job_id), h("small", null, w.shard_id)] : h("span.soft", null, "none"));
const device = (w) => {
  const f = w.facts ?? {};
  const details = [f.device_memory_mib && `${count(Math.round(f.device_memory_mib / 1024))} GiB`, f.torch && `torch ${f.torch}`, f.cpus && `${count(f.cpus)} CPUs`].filter(Boolean);
  return h("td", null, f.device_name || w.device || "", details.length ? h("small", null, details.join(", ")) : "");
};
const doing = (w) => (w.state === "quarantined" ? "quarantined" : !w.alive ? "silent" : w.shard_id ? "explaining" : "waiting");

async function load() {
  const [workers, queues] = await Promise.all([api("/v1/workers"), api("/v1/queues")]);
  $("queues").replaceChildren(...Object.keys({ ...about, ...queues }).map((name) => {
    const q = queues[name] ?? { pending: 0, leased: 0 };
    return h("", null, h("strong", null, count(q.pending)), h("span", null, `${about[name] ?? name} waiting, ${count(q.leased)} in progress`));
  }));
  fill($("rows"), workers.map((w) => h("tr", null,
    h("td.nowrap", null, w.id), h("td", null, state(doing(w)), w.facts?.reason ? h("small", null, w.facts.reason) : ""), work(w), device(w),
    h("td.num", null, rate(w.rate) || "—"), h("td.num", null, w.memory_mib ? `${count(w.memory_mib)} MiB` : "—"),
    h("td", null, (w.queues || []).join(", ")), h("td.num", null, `${duration(w.silent_s)} ago`))));
  $("table").hidden = !workers.length;
  $("empty").hidden = true;
  showPage();
  if (!workers.length) empty("No worker has sent a heartbeat", "Start one: ", h("code", null, "gfi worker"), ", or ", h("code", null, "gfi worker --device cuda:0"), ".");
}
repeat(3000, () => showErrors(load));
