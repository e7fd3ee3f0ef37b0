import { $, api, count, duration, empty, every, fill, h, rate, state, told, whole } from "/static/ui.js";

const about = { explain: "shards of jobs", interactive: "uploads and tests", control: "plans and reports" };
const work = (w) => h("td", null, w.job_id ? [h("a", { href: `/jobs/${w.job_id}` }, w.job_name || w.job_id), h("small", null, w.shard_id)] : h("span.soft", null, "none"));
const doing = (w) => (!w.alive ? "silent" : w.shard_id ? "explaining" : "waiting");

async function load() {
  const [found, queues] = await Promise.all([api("/v1/workers"), api("/v1/queues")]);
  $("queues").replaceChildren(...Object.keys({ ...about, ...queues }).map((name) => {
    const q = queues[name] ?? { pending: 0, leased: 0 };
    return h("", null, h("strong", null, count(q.pending)), h("span", null, `${about[name] ?? name} wait, ${count(q.leased)} in hand`));
  }));
  fill($("rows"), found.map((w) => h("tr", null,
    h("td.nowrap", null, w.id), h("td", null, state(doing(w))), work(w), h("td", null, w.device || ""),
    h("td.num", null, rate(w.rate) || "—"), h("td.num", null, w.memory_mib ? `${count(w.memory_mib)} MiB` : "—"),
    h("td", null, (w.queues || []).join(", ")), h("td.num", null, `${duration(w.silent_s)} ago`))));
  $("table").hidden = !found.length;
  $("empty").hidden = true;
  whole();
  if (!found.length) empty("No worker has been heard of", "Start one: ", h("code", null, "gfi worker"), ", or ", h("code", null, "gfi worker --device cuda:0"), ".");
}
every(3000, () => told(load));
