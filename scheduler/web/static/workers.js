import { $, api, count, duration, empty, every, h, rate, state, told } from "/static/ui.js";

const work = (w) => h("td", null, w.job_id ? [h("a", { href: `/jobs/${w.job_id}` }, w.job_name || w.job_id), h("small", null, w.shard_id)] : h("span.soft", null, w.alive ? "waits for work" : ""));

async function load() {
  const [found, queues] = await Promise.all([api("/v1/workers"), api("/v1/queues")]);
  $("queues").replaceChildren(...Object.entries(queues).map(([name, q]) => h("", null, h("strong", null, `${count(q.pending)} / ${count(q.leased)}`), h("span", null, `${name}: waiting / in hand`))));
  $("rows").replaceChildren(...found.map((w) => h("tr", null, h("td", null, w.id), h("td", null, w.device || ""), h("td", null, state(w.alive ? w.state || "running" : "failed"), w.alive ? null : h("small.soft", null, " silent")), work(w), h("td.num", null, rate(w.rate)), h("td.num", null, w.memory_mib ? `${count(w.memory_mib)} MiB` : ""), h("td", null, (w.queues || []).join(", ")), h("td.num", null, `${duration(w.silent_s)} ago`))));
  $("empty").hidden = true;
  if (!found.length) empty("No worker has been heard of", "Start one: ", h("code", null, "gfi worker"), ", or ", h("code", null, "gfi worker --device cuda:0"), ".");
}
every(3000, () => told(load));
