import { $, api, count, decimal, fill, h, percent, showErrors, showPage, state, words } from "/static/ui.js";

const id = location.pathname.split("/")[2];

async function load() {
  const made = await api(`/v1/comparisons/${id}`);
  $("title").replaceChildren("Job ", h("a", { href: `/jobs/${made.b}` }, made.b), " compared with ", h("a", { href: `/jobs/${made.a}` }, made.a));
  $("verdict").replaceChildren(made.verdict ? h(`strong.verdict.v-${made.verdict}`, null, words(made.verdict)) : made.state === "done" ? "no gate" : state(made.state));
  $("refused").textContent = made.reason ?? "";
  $("refused").hidden = !made.reason;
  showPage();
  if (made.result) return show(made.result);
  if (made.state === "pending" || made.state === "leased") setTimeout(() => showErrors(load), 1000);
}

// The newest transfer of these jobs and this floor; while it is measured, it is asked for again.
async function showTransfer(result) {
  const same = (t) => t.a === result.a && t.floor.join() === result.floor_jobs.join();
  const made = (await api(`/v1/transfers?${new URLSearchParams({ job: result.b })}`)).find(same);
  const lines = !made ? [] : made.result ? made.result.sentences : made.reason ? [made.reason] : [words(made.state)];
  $("transfer").replaceChildren(...lines.map((line) => h("li", null, line)));
  const waits = made?.state === "pending" || made?.state === "leased";
  const button = $("measure-transfer");
  if (button) {
    button.disabled = waits;
    button.onclick = () => showErrors(async () => {
      await api("/v1/transfers", { method: "POST", body: { a: result.a, b: result.b, floor: result.floor_jobs } });
      await showTransfer(result);
    });
  }
  $("transfer-panel").hidden = !made && !button;
  if (waits) setTimeout(() => showErrors(() => showTransfer(result)), 1000);
}

async function show(result) {
  const names = (await api(`/v1/jobs/${result.a}/config`)).model?.class_names ?? [];
  const named = (index) => names[index] ?? index;
  const differing = result.differing?.b.length ? [h("li", null, h("a", { href: `/jobs/${result.b}/gallery?${new URLSearchParams({ comparison: id, compare: result.a })}` }, `Only the ${count(result.differing.b.length)}${result.differing.more ? "+" : ""} images that differ`), ", in the gallery")] : [];
  $("sentences").replaceChildren(...result.sentences.map((sentence) => h("li", null, sentence)), ...differing);
  $("checks-panel").hidden = !result.gate;
  if (result.gate) fill($("checks"), result.gate.checks.map((c) => h("tr", null, h("td.nowrap", null, c.name), h("td.nowrap", null, h(`span.verdict.v-${c.waived ? "pass" : c.verdict}`, null, c.waived ? "Waived" : words(c.verdict))), h("td.any", null, c.sentence, c.waiver ? h("small.soft", null, ` ${c.waiver}`) : null))));
  const classes = Object.entries(result.comparison.classes).sort(([, x], [, y]) => y.moved / y.n - x.moved / x.n || y.flips - x.flips).slice(0, 100);
  fill($("classes"), classes.map(([index, c]) => h("tr", null, h("td", null, named(index)), h("td.num", null, result.comparison.threshold === null ? "no floor" : `${count(c.moved)} (${percent(c.moved / c.n)})`), h("td.num", null, count(c.n)), h("td.num", null, c.images ? `${count(c.flips)} of ${count(c.images)}` : ""), h("td", null, c.place ?? ""))));
  $("classes-panel").hidden = !classes.length;
  if (result.floor_jobs) await showTransfer(result); // here, so that what is shown already does not jump
  const picture = (job, row, rank = 0) => `/v1/jobs/${job}/results/${row}/overlay.png?${new URLSearchParams({ size: 320, target_rank: rank })}`;
  $("movers").replaceChildren(...result.comparison.worst.map((mover) => {
    const missing = (event) => event.target.replaceWith(h("em", null, "no picture"));
    return h("figure", null,
      h("div.mixed", null, h("img", { loading: "lazy", src: picture(result.a, mover.row_a), alt: `Mask of the first job for ${mover.key}`, onerror: missing }), h("img.second", { loading: "lazy", src: picture(result.b, mover.row_b), alt: `Mask of the second job for ${mover.key}`, onerror: missing })),
      h("figcaption", { title: mover.key }, `${mover.key} · ${named(mover.target)} · distance ${decimal(mover.distance, 2)} `, h("a", { href: `/jobs/${result.b}/gallery` }, "open")));
  }));
  $("movers-panel").hidden = !result.comparison.worst.length;
}

$("mix").addEventListener("input", () => {
  const share = $("mix").valueAsNumber;
  $("mix-value").textContent = `${share} %`;
  $("movers").style.setProperty("--mix", share / 100);
});
showErrors(load);
